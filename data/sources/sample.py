"""The embedded dataset: drawings in the manner of natural images, made when they are read.

Nothing is stored and nothing is downloaded; an image is a function of its recipe alone. As in any set, a few are
spoilt, out of focus or empty, so that the screens have something to find.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np

from data.errors import UserError
from data.hashing import canonical_json, generator, sha256_bytes
from data.imaging.dead_leaves import dead_leaves
from data.progress import Progress, silent
from data.records import Rejection, SourceEntry
from data.sources.base import Source

_SPOILT_PERIOD = 24
_OUT_OF_FOCUS, _EMPTY = 7, 15
"""Of each so many images, the one with this number is spoilt in this way."""
_FOCUS_SIGMA_PX = 8.0
RECIPE_VERSION = 1
"""Raised whenever the drawing changes, so that no stale image is taken for a new one."""


class SampleSource(Source):
    """Procedural images of one size.

    Args:
        images: how many.
        height_px: of each.
        width_px: of each.
        seed: of the whole set.
    """

    def __init__(self, images: int, height_px: int, width_px: int, seed: int = 0) -> None:
        if min(images, height_px, width_px) < 1:
            found = f"{images} of {height_px}x{width_px}"
            raise UserError(
                "at least one image of at least one pixel", found, "the sample's options", "mend them"
            )
        self.images, self.height_px, self.width_px, self.seed = images, height_px, width_px, seed

    def fingerprint(self) -> dict[str, Any]:
        """Return the recipe."""
        return {
            "kind": "sample",
            "recipe_version": RECIPE_VERSION,
            "images": self.images,
            "height_px": self.height_px,
            "width_px": self.width_px,
            "seed": self.seed,
        }

    def _recipe(self, number: int) -> list[Any]:
        return ["dead leaves", RECIPE_VERSION, self.seed, self.height_px, self.width_px, number]

    def scan(self, threads: int = 1, progress: Progress = silent) -> Iterator[SourceEntry | Rejection]:
        """Yield the entries; their sha256 is the recipe's, since no bytes are stored."""
        for number in range(self.images):
            yield SourceEntry(
                id=f"sample-{number:05d}",
                locator=str(number),
                width=self.width_px,
                height=self.height_px,
                format="procedural",
                bytes=0,
                sha256=sha256_bytes(canonical_json(self._recipe(number))),
                lossy=False,
                group=f"sample-{number:05d}",
                bit_depth=8,
            )

    def read(self, entries: Iterable[SourceEntry]) -> Iterator[tuple[SourceEntry, np.ndarray | Rejection]]:
        """Draw each entry."""
        for entry in entries:
            yield entry, self._draw(int(entry.locator))

    def _draw(self, number: int) -> np.ndarray:
        stream = generator(*self._recipe(number))
        if number % _SPOILT_PERIOD == _EMPTY:
            level = stream.integers(0, 256, 3, dtype=np.uint8)
            return np.broadcast_to(level, (self.height_px, self.width_px, 3)).copy()
        image = dead_leaves(stream, self.height_px, self.width_px)
        if number % _SPOILT_PERIOD == _OUT_OF_FOCUS:
            return cv2.GaussianBlur(image, (0, 0), _FOCUS_SIGMA_PX)
        return image
