"""What scores crops, whichever library runs it; and the ONNX files among them."""

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.hashing import sha256_file
from sr.runtime.model_files import open_session

UInt8Images = npt.NDArray[np.uint8]
"""Images x height x width x 3, RGB."""
Floats = npt.NDArray[np.float32]


class Scorer(Protocol):
    """Gives each image a number."""

    network_sha256: str
    """Of its weights."""

    def __call__(self, images: UInt8Images) -> Floats:
        """Return the score of each image. Raises what the metric raises."""


class OnnxNetwork:
    """A network in an ONNX file: takes float32 images N x 3 x H x W, gives numbers for each.

    Args:
        path: the file. A fixed height and width of its input count: images are resized to them.
        mean, deviation: subtracted from, and divided by, each channel of RGB from 0 to 1.

    Raises:
        UserError: the file is damaged, or takes something else.
    """

    def __init__(
        self,
        path: Path,
        mean: tuple[float, ...] = (0.0, 0.0, 0.0),
        deviation: tuple[float, ...] = (1.0, 1.0, 1.0),
        side_px: int = 0,
    ) -> None:
        self._session = open_session(path)
        self._path = path
        self.network_sha256 = sha256_file(path)
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if inputs else []
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(shape) != 4 or shape[1] != 3:
            found = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
            raise UserError(
                f"{path} takes {found}, but one input of float32 images, N x 3 x H x W, is needed",
                "Export the network with such an input: RGB from 0 to 1",
            )
        self._input, self._fixed = inputs[0].name, [one if isinstance(one, int) else 0 for one in shape]
        self._side_px = side_px
        self._mean, self._deviation = np.array(mean, np.float32), np.array(deviation, np.float32)

    def run(self, images: UInt8Images) -> Floats:
        """Return the first output for images: images x numbers.

        Raises:
            UserError: the output does not have a row for each image.
        """
        height = self._fixed[2] or self._side_px or images.shape[1]
        width = self._fixed[3] or self._side_px or images.shape[2]
        if (height, width) != images.shape[1:3]:
            images = np.stack(
                [cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) for one in images]
            )
        values = (images.astype(np.float32) / 255 - self._mean) / self._deviation
        values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        step = self._fixed[0] or len(values)
        parts = []
        for start in range(0, len(values), step):
            part = values[start : start + step]
            # A file of a fixed number of images gets the last one again and again.
            filled = np.concatenate([part, np.repeat(part[-1:], step - len(part), axis=0)])
            found = np.asarray(self._session.run(None, {self._input: filled})[0], np.float32)
            if found.ndim == 0 or len(found) != len(filled):
                raise UserError(
                    f"{self._path} gives an output of shape {found.shape} for {len(filled)} images",
                    "Export the network so that its first output has a row for each image",
                )
            parts.append(found.reshape(len(filled), -1)[: len(part)])
        return np.concatenate(parts)


class OnnxScorer:
    """Scores by an ONNX file: RGB from 0 to 1 in, one number for each image out.

    Args:
        path: the file.

    Raises:
        UserError: see `OnnxNetwork`.
    """

    def __init__(self, path: Path) -> None:
        self._network, self._path = OnnxNetwork(path), path
        self.network_sha256 = self._network.network_sha256

    def __call__(self, images: UInt8Images) -> Floats:
        """Return the score of each image.

        Raises:
            UserError: the file gives more than one number for an image.
        """
        found = self._network.run(images)
        if found.shape[1] != 1:
            raise UserError(
                f"{self._path} gives {found.shape[1]} numbers for an image; a score is one",
                "Export the network so that its first output is N or N x 1",
            )
        return found[:, 0]
