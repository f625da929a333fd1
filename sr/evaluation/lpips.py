"""LPIPS, the perceptual distance of two images by the features of AlexNet: version 0.1, with its published weights.

The weights are downloaded like a dataset (LPIPS_AlexNet in the catalog) and read as tensors, never as code. Images are
never resized.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from data.errors import UserError
from sr.models.checkpoint_file import read_pth

TRUNK, LINEAR = "alexnet-owt-7be5be79.pth", "alex.pth"
"""The files: torchvision's AlexNet, and the five linear layers of LPIPS v0.1."""
MIN_SIDE_PX = 31
"""The last layers of AlexNet have no output for a smaller image."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))
"""AlexNet's convolutions: number in torchvision's `features`, stride, padding, whether max-pooling comes before."""
_TRUNK_SHAPES = ((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3))
_EPSILON = 1e-10


class Lpips:
    """The metric with its weights, in float32; on the CPU until `to` moves it.

    Args:
        weights_dir: holds the files TRUNK and LINEAR.

    Raises:
        UserError: a file is missing, or holds other tensors.

    Source: Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features as a perceptual
        metric", 2018; version 0.1 (inputs scaled as the trunk was trained).

    Example:
        lpips = Lpips(weights_dir)
        lpips.distance(lpips.features(original), upscaled)
    """

    def __init__(self, weights_dir: Path) -> None:
        trunk, linear = (_read_weights(weights_dir / name) for name in (TRUNK, LINEAR))
        self._trunk, self._linear = [], []
        for index, ((number, *_), shape) in enumerate(zip(_LAYERS, _TRUNK_SHAPES, strict=True)):
            weight = _get_tensor(trunk, f"features.{number}.weight", shape, weights_dir / TRUNK)
            bias = _get_tensor(trunk, f"features.{number}.bias", shape[:1], weights_dir / TRUNK)
            self._trunk.append((weight, bias))
            channel_weights = (1, shape[0], 1, 1)
            self._linear.append(
                _get_tensor(linear, f"lin{index}.model.1.weight", channel_weights, weights_dir / LINEAR)
            )

    def to(self, device: torch.device) -> "Lpips":
        """Move the weights to a device, and return the metric itself."""
        self._trunk = [(weight.to(device), bias.to(device)) for weight, bias in self._trunk]
        self._linear = [weight.to(device) for weight in self._linear]
        return self

    def features(self, image: npt.NDArray[np.uint8]) -> list[Tensor]:
        """Extract the features of an image.

        Args:
            image: uint8 HWC RGB, at least MIN_SIDE_PX a side.

        Returns:
            Five float32 tensors [1,c,h,w], normalized over the channels.

        Raises:
            ValueError: the image is too small.
        """
        if min(image.shape[:2]) < MIN_SIDE_PX:
            height, width = image.shape[:2]
            raise ValueError(
                f"LPIPS needs images of at least {MIN_SIDE_PX}x{MIN_SIDE_PX} px, not {height}x{width} px."
            )
        levels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]  # [1,3,h,w]
        with torch.inference_mode():
            return self.extract_features(levels.float() / 127.5 - 1.0)

    def extract_features(self, values: Tensor) -> list[Tensor]:
        """Extract the features of a batch of images; gradients pass through.

        Args:
            values: float32 [n,3,h,w] RGB, -1 to 1, at least MIN_SIDE_PX a side.

        Returns:
            Five float32 tensors [n,c,h,w], normalized over the channels.
        """
        shift, scale = (
            torch.tensor(three, device=values.device).reshape(1, 3, 1, 1) for three in (SHIFT, SCALE)
        )
        values, features = (values - shift) / scale, []
        for (_, stride, padding, pooled), (weight, bias) in zip(_LAYERS, self._trunk, strict=True):
            values = nn.functional.max_pool2d(values, 3, 2) if pooled else values
            values = nn.functional.conv2d(values, weight, bias, stride, padding).relu()
            # Where all channels are zero there is no direction: the slope of the root would be infinite.
            squares = values.square().sum(dim=1, keepdim=True)
            length = squares.clamp(min=torch.finfo(torch.float32).tiny).sqrt()
            features.append(values / (length + _EPSILON))
        return features

    def compare(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Compute LPIPS for each pair of images; gradients pass through.

        Args:
            first, second: the features of two batches, from `extract_features`.

        Returns:
            float32 [n].
        """
        # [n,c,h,w] squared differences: weighted over c, averaged over h and w, summed over the five layers.
        layers = [
            ((features - other).square() * weight).sum(dim=1).mean(dim=(1, 2))
            for features, other, weight in zip(first, second, self._linear, strict=True)
        ]
        return torch.stack(layers).sum(dim=0)

    def distance(self, features: list[Tensor], image: npt.NDArray[np.uint8]) -> float:
        """Compute LPIPS between two images: 0 for equal ones, rarely above 1.

        Args:
            features: of the one image, from `features`.
            image: the other: uint8 HWC RGB, of the same size.
        """
        with torch.inference_mode():
            return float(self.compare(features, self.features(image)))


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise UserError(
            f"The LPIPS weights {path.name} are not in {path.parent}",
            "Run luigi --module tasks Download --dataset LPIPS_AlexNet, or turn LPIPS off",
        )
    return read_pth(path)


def _get_tensor(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], path: Path) -> Tensor:
    found = tensors.get(name)
    if not isinstance(found, Tensor):
        raise UserError(f"{path} has no tensor {name}", "Download the file again")
    if tuple(found.shape) != shape:
        raise UserError(
            f"The tensor {name} in {path} has the shape {tuple(found.shape)}, not {shape}",
            "Download the file again",
        )
    return found.detach().float()
