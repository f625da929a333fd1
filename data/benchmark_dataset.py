"""A benchmark: the images that a model is judged on, each with its name, and its LR image where one is given.

Unlike a training set it must be whole: an image that can't be read, one too few, or a low file under another name
fails it, with the list of what is amiss.
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.catalog.catalog import DatasetSpec
from data.errors import UserError
from data.imaging.decode import SUFFIXES, ImageFault, decode
from data.records import Reason, Rejection, SourceEntry
from data.sources import Source
from data.sources.base import StoredSource
from data.sources.folder import FolderSource

LISTED = 20
"""So many names of what is amiss are written out; of more, only how many."""
_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B")


class Benchmark:
    """Iterates over (name, high) or (name, high, low), one at a time.

    Pixels are uint8: height x width x 3, RGB, or height x width where the file itself is gray.

    Args:
        dataset: what it is; its `lr_path` is the folder of the LR images, if any.
        source: of the HR images.
        entries: its index.
        rejections: what the index threw out.
        images: how many it must have; 0 where that is not known.

    Raises:
        UserError: it is not whole.
    """

    def __init__(
        self,
        dataset: DatasetSpec,
        source: Source,
        entries: list[SourceEntry],
        rejections: Iterable[Rejection] = (),
        images: int = 0,
    ) -> None:
        self._dataset, self._source, self._entries = dataset, source, entries
        self._check_whole(list(rejections), images)
        self._lows = self._match_lr_images() if dataset.lr_path else {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray] | tuple[str, np.ndarray, np.ndarray]]:
        for entry, image in self._source.read(self._entries):
            if isinstance(image, Rejection):
                found = f"{image.reason} ({image.detail})"
                raise UserError(
                    "an image that can be read", found, f"{self._dataset.name}/{entry.id}", "replace it"
                )
            name = Path(entry.id).with_suffix("").as_posix()
            if self._is_gray(entry, image):
                image = image[..., 0]
            if self._lows:
                yield name, image, self._low(entry.id)
            else:
                yield name, image

    def _is_gray(self, entry: SourceEntry, image: np.ndarray) -> bool:
        """Whether the file has one channel: some protocols treat that otherwise than three equal ones."""
        if not isinstance(self._source, StoredSource) or not np.array_equal(image[..., 0], image[..., 2]):
            return False
        with Image.open(io.BytesIO(self._source.load(entry.locator))) as image:
            return image.mode in _GRAY_MODES

    def _check_whole(self, rejections: list[Rejection], images: int) -> None:
        """Refuse what a training set would do without: images thrown out, or not there at all."""
        name, there = self._dataset.name, sorted(entry.id for entry in self._entries)
        missed = [one for one in rejections if one.reason is not Reason.NOT_AN_IMAGE]
        if missed:
            found = _listed(f"{one.id} ({one.reason}: {one.detail})" for one in missed)
            raise UserError("a benchmark of usable images", found, name, "mend these files or take them out")
        if images and len(there) != images:
            found = f"{len(there)} ({_listed(there)})"
            remedy = "complete it; if it is another set, give its folder another name"
            raise UserError(f"{images} images", found, name, remedy)

    def _match_lr_images(self) -> dict[str, Path]:
        """Find the LR image of every high one: the same name below LR/."""
        root = Path(self._dataset.lr_path)
        lr_images = {entry.id: root / entry.id for entry in self._entries}
        missing = [entry for entry, path in lr_images.items() if not path.is_file()]
        there = {
            path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix.lower() in SUFFIXES
        }
        extra = sorted(there - set(lr_images))
        if missing or extra:
            found = f"missing {_listed(missing)}, without an HR image {_listed(extra)}"
            raise UserError(
                "one LR image for each high one, of the same name", found, str(root), "mend the names"
            )
        return lr_images

    def _low(self, entry_id: str) -> np.ndarray:
        path = self._lows[entry_id]
        try:
            return decode(path.read_bytes())
        except ImageFault as fault:
            raise UserError("an image that can be read", str(fault), str(path), "replace it") from None


def lr_images_fingerprint(dataset: DatasetSpec) -> dict[str, Any] | None:
    """Return JSON data that changes when the LR images that a benchmark brings do; None where it has none."""
    return FolderSource(Path(dataset.lr_path)).fingerprint() if dataset.lr_path else None


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) + more) or "none"
