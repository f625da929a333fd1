"""The embedded sample dataset: procedural images with the statistics of photographs, drawn when they are read.

Nothing is stored or downloaded: an image depends only on its recipe. As in any dataset, a few images are out of focus
or empty, so that the quality filters have something to find.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.hashing import canonical_json, generator, sha256_bytes
from data.imaging.dead_leaves import dead_leaves
from data.progress import Progress, silent
from data.records import Rejection, SourceEntry
from data.sources.base import Source

_DEFECT_PERIOD = 24
_OUT_OF_FOCUS, _EMPTY = 7, 15
"""Positions of the two defective images in every `_DEFECT_PERIOD` images."""
_FOCUS_SIGMA_PX = 8.0
DRAWN_FORMAT = "procedural"
"""`SourceEntry.format` of these images."""
RECIPE_VERSION = 1
"""Raise it whenever the drawing changes, so that stale crops are not reused."""


class SampleSource(Source):
    """Procedural images of one size.

    Args:
        images: number of images.
        height_px: height of each image, at least 1.
        width_px: width of each image, at least 1.
        seed: seed of the whole dataset.
    """

    def __init__(self, images: int, height_px: int, width_px: int, seed: int = 0) -> None:
        if min(images, height_px, width_px) < 1:
            message = f"The sample dataset can't have {images} images of {height_px}x{width_px} pixels"
            raise UserError(message, "Give options of at least 1 in its catalog file")
        self.images, self.height_px, self.width_px, self.seed = images, height_px, width_px, seed

    def fingerprint(self) -> dict[str, Any]:
        """Return the recipe of the whole dataset."""
        return {
            "kind": "sample",
            "recipe_version": RECIPE_VERSION,
            "images": self.images,
            "height_px": self.height_px,
            "width_px": self.width_px,
            "seed": self.seed,
        }

    def _recipe(self, number: int) -> list[Any]:
        """Return what an image depends on: the seed of its random generator."""
        return ["dead leaves", RECIPE_VERSION, self.seed, self.height_px, self.width_px, number]

    def scan(self, threads: int = 1, progress: Progress = silent) -> Iterator[SourceEntry | Rejection]:
        """Yield the entries. Their sha256 is that of the recipe, because no bytes are stored."""
        for number in range(self.images):
            yield SourceEntry(
                id=f"sample-{number:05d}",
                locator=str(number),
                width=self.width_px,
                height=self.height_px,
                format=DRAWN_FORMAT,
                bytes=0,
                sha256=sha256_bytes(canonical_json(self._recipe(number))),
                lossy=False,
                group=f"sample-{number:05d}",
                bit_depth=8,
            )

    def read(
        self, entries: Iterable[SourceEntry]
    ) -> Iterator[tuple[SourceEntry, npt.NDArray[np.uint8] | Rejection]]:
        """Draw each entry."""
        for entry in entries:
            yield entry, self._draw(int(entry.locator))

    def _draw(self, number: int) -> npt.NDArray[np.uint8]:
        stream = generator(*self._recipe(number))
        if number % _DEFECT_PERIOD == _EMPTY:
            level = stream.integers(0, 256, 3, dtype=np.uint8)
            return np.broadcast_to(level, (self.height_px, self.width_px, 3)).copy()
        image = dead_leaves(stream, self.height_px, self.width_px)
        if number % _DEFECT_PERIOD == _OUT_OF_FOCUS:
            return np.asarray(cv2.GaussianBlur(image, (0, 0), _FOCUS_SIGMA_PX), np.uint8)
        return image
