"""Reads crops of a split by number: from the tar shards through their (filtered) indexes, verified and decoded.

Each crop is checked against the sha256 stored beside it in the tar, so damage never reaches the training.
"""

import importlib.util
import json
import os
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from data.dali_index import read_index
from data.errors import UserError
from data.hashing import sha256_bytes
from data.selection import Split
from sr.pairs.sampler import Numbers

Image = npt.NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""
Decode = Callable[[list[bytes]], list[Image | None]]
"""Decodes images; None for one that cannot be decoded."""


class CropReader:
    """Reads and decodes crops with threads."""

    def __init__(self, split: Split, decoder: str, num_threads: int) -> None:
        """Read the indexes of a split.

        Args:
            split: what to read.
            decoder: a name in settings.DECODERS. auto: DALI if it is installed, otherwise OpenCV.
            num_threads: threads that read and decode.

        Raises:
            UserError: DALI is required, but not installed.
        """
        self.crops, self.side_px = split.samples, split.crop_size_px
        self._tars = split.tars
        self._pool = ThreadPoolExecutor(num_threads, "crops")
        self._decode = _choose_decoder(decoder, num_threads)
        self._spans = np.array(
            [
                (number, *_find_span(line.components, split.image_extension))
                for number, index in enumerate(split.indexes)
                for line in read_index(Path(index))
            ],
            dtype=np.int64,
        )  # [crops, (tar, image's offset and size, description's offset and size)]

    def read(self, numbers: Numbers) -> npt.NDArray[np.uint8]:
        """Return crops as uint8 [len(numbers), side, side, 3].

        Raises:
            UserError: a crop is damaged.
        """
        images = np.empty((len(numbers), self.side_px, self.side_px, 3), np.uint8)
        if self._decode is None:
            list(self._pool.map(self._fill, images, numbers.tolist()))
            return images
        encoded = list(self._pool.map(self._read_encoded, numbers.tolist()))
        for target, number, image in zip(images, numbers.tolist(), self._decode(encoded), strict=True):
            self._keep(target, number, image)
        return images

    def locate(self, number: int) -> str:
        """Return where a crop is: tar:offset:member."""
        tar, offset = self._spans[number, :2].tolist()
        return f"{self._tars[tar]}:{offset}:{self._member(number)}"

    def _fill(self, target: Image, number: int) -> None:
        self._keep(target, number, _decode_with_opencv(self._read_encoded(number)))

    def _keep(self, target: Image, number: int, image: Image | None) -> None:
        if image is None:
            raise self._damaged(number, "does not decode")
        if image.shape != target.shape:
            raise self._damaged(number, f"has the shape {image.shape}, not {target.shape}")
        target[:] = image

    def _read_encoded(self, number: int) -> bytes:
        """Read the bytes of a crop, and compare them with their hash."""
        tar, offset, size, description_offset, description_size = self._spans[number].tolist()
        with open(self._tars[tar], "rb", buffering=0) as file:
            content = os.pread(file.fileno(), size, offset)
            description = os.pread(file.fileno(), description_size, description_offset)
        try:
            expected = json.loads(description)["sha256"]
        except (ValueError, KeyError, TypeError):
            raise self._damaged(number, "has no readable description") from None
        if sha256_bytes(content) != expected:
            raise self._damaged(number, "does not match its sha256")
        return content

    def _member(self, number: int) -> str:
        """Return the name of a crop in its tar."""
        tar, offset = self._spans[number, :2].tolist()
        with open(self._tars[tar], "rb", buffering=0) as file:
            header = os.pread(file.fileno(), tarfile.BLOCKSIZE, offset - tarfile.BLOCKSIZE)
        try:
            return tarfile.TarInfo.frombuf(header, "utf-8", "replace").name
        except tarfile.HeaderError:
            return f"the sample at offset {offset}"

    def _damaged(self, number: int, problem: str) -> UserError:
        """Return the error for a crop that has changed since it was packed."""
        tar = self._tars[int(self._spans[number, 0])]
        message = f"The shard {tar} is damaged: {self._member(number)} {problem}"
        hint = "Run VerifyDataset with --rebuild on its dataset, then start the training again"
        return UserError(message, hint)


def _choose_decoder(name: str, num_threads: int) -> Decode | None:
    """Return DALI's decoder, or None for OpenCV's."""
    if name == "opencv":
        return None
    try:
        installed = importlib.util.find_spec("nvidia.dali") is not None
    except ModuleNotFoundError:
        installed = False
    if installed:
        from sr.pairs.dali_decoder import DaliDecoder

        return DaliDecoder(num_threads)
    if name == "dali":
        message = "[training] decoder is dali, but NVIDIA DALI is not installed in this Python environment"
        raise UserError(message, "Install nvidia-dali-cuda120, or set decoder to opencv")
    return None


def _decode_with_opencv(content: bytes) -> Image | None:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    return None if image is None else image.astype(np.uint8, copy=False)


def _find_span(
    components: tuple[tuple[str, int, int, str], ...], extension: str
) -> tuple[int, int, int, int]:
    found = {kind: (offset, size) for kind, offset, size, _ in components}
    return *found[extension], *found["json"]
