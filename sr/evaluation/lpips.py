"""LPIPS, the distance of two images as AlexNet sees them: version 0.1, with its published weights.

The weights are a download like a dataset's (LPIPS_AlexNet in the catalog) and are read as tensors, never as
code. It knows no file but those two, and never resizes an image.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from data.errors import UserError
from sr.models.checkpoint import read_pth

TRUNK, LINEAR = "alexnet-owt-7be5be79.pth", "alex.pth"
"""The files: torchvision's AlexNet, and the five linear layers of LPIPS v0.1."""
LEAST_PX = 31
"""A smaller image leaves AlexNet's last layers nothing."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))
"""Of AlexNet's convolutions: number in torchvision's `features`, stride, padding, max-pooling before."""
_TRUNK_SHAPES = ((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3))
_EPSILON = 1e-10


class Lpips:
    """The metric with its weights; in float32, on the CPU until `to` moves it.

    Args:
        weights_dir: holds the files TRUNK and LINEAR.

    Raises:
        UserError: a file is missing, or holds other tensors.
    Source: Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features as a
        perceptual metric", 2018; version 0.1 (inputs scaled as the trunk was trained).
    """

    def __init__(self, weights_dir: Path) -> None:
        trunk, linear = (_tensors(weights_dir / name) for name in (TRUNK, LINEAR))
        self._trunk, self._linear = [], []
        for place, ((number, *_), shape) in enumerate(zip(_LAYERS, _TRUNK_SHAPES, strict=True)):
            weight = _named(trunk, f"features.{number}.weight", shape, weights_dir / TRUNK)
            bias = _named(trunk, f"features.{number}.bias", shape[:1], weights_dir / TRUNK)
            self._trunk.append((weight, bias))
            channels = (1, shape[0], 1, 1)
            self._linear.append(_named(linear, f"lin{place}.model.1.weight", channels, weights_dir / LINEAR))

    def features(self, image: np.ndarray) -> list[Tensor]:
        """What AlexNet sees of an image, each place scaled to length one.

        Args:
            image: uint8 HWC RGB, at least LEAST_PX a side.

        Returns:
            Five float32 tensors [1,c,h,w].

        Raises:
            ValueError: the image is too small.
        """
        if min(image.shape[:2]) < LEAST_PX:
            height, width = image.shape[:2]
            raise ValueError(f"Expected at least {LEAST_PX}x{LEAST_PX} px for LPIPS, got {height}x{width}.")
        levels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]  # [1,3,h,w]
        with torch.inference_mode():
            return self.see(levels.float() / 127.5 - 1.0)

    def to(self, device: torch.device) -> "Lpips":
        """Move the weights, and return this."""
        self._trunk = [(weight.to(device), bias.to(device)) for weight, bias in self._trunk]
        self._linear = [weight.to(device) for weight in self._linear]
        return self

    def see(self, values: Tensor) -> list[Tensor]:
        """What AlexNet sees of a batch of images; gradients pass.

        Args:
            values: float32 [n,3,h,w] RGB, -1 to 1, at least LEAST_PX a side.

        Returns:
            Five float32 tensors [n,c,h,w], each place scaled to length one.
        """
        shift, scale = (
            torch.tensor(three, device=values.device).reshape(1, 3, 1, 1) for three in (SHIFT, SCALE)
        )
        values, seen = (values - shift) / scale, []
        for (_, stride, padding, pooled), (weight, bias) in zip(_LAYERS, self._trunk, strict=True):
            values = nn.functional.max_pool2d(values, 3, 2) if pooled else values
            values = nn.functional.conv2d(values, weight, bias, stride, padding).relu()
            # A place where nothing is seen has no direction: the root's slope there would be infinite.
            squares = values.square().sum(dim=1, keepdim=True)
            length = squares.clamp(min=torch.finfo(torch.float32).tiny).sqrt()
            seen.append(values / (length + _EPSILON))
        return seen

    def compare(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """LPIPS of each pair of images, [n], of what `see` gave for both; gradients pass."""
        # [n,c,h,w] differences, weighed over c, mean over places, summed over the five layers.
        layers = [
            ((one - other).square() * weight).sum(dim=1).mean(dim=(1, 2))
            for one, other, weight in zip(first, second, self._linear, strict=True)
        ]
        return torch.stack(layers).sum(dim=0)

    def distance(self, features: list[Tensor], image: np.ndarray) -> float:
        """LPIPS between an image and one whose features are given: 0 for equal ones, about 1 at most.

        Args:
            features: of the other image, from `features`.
            image: uint8 HWC RGB of the other's size.
        """
        with torch.inference_mode():
            return float(self.compare(features, self.features(image)))


def _tensors(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        remedy = "run luigi --module tasks Download --dataset LPIPS_AlexNet, or do without LPIPS"
        raise UserError(f"the weights of LPIPS ({path.name})", "nothing", str(path.parent), remedy)
    return read_pth(path)


def _named(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], path: Path) -> Tensor:
    found = tensors.get(name)
    if not isinstance(found, Tensor) or tuple(found.shape) != shape:
        got = f"one of {tuple(found.shape)}" if isinstance(found, Tensor) else "none"
        raise UserError(f"a tensor {name} of {shape}", got, str(path), "fetch the file again")
    return found.detach().float()
