"""A benchmark dataset: named HR images that a model is evaluated on, with LR images where the dataset brings them.

Unlike a training set it must be complete: an unreadable image, an image of a format that is not read, a wrong number of
images or a misnamed LR image is an error that lists what is wrong.
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from data.catalog.spec import DatasetSpec
from data.errors import UserError
from data.imaging.decode import SUFFIXES, ImageFault, decode
from data.imaging.foreign_content import OTHER_SUFFIXES
from data.records import Rejection, RejectionReason, SourceEntry
from data.sources import Source
from data.sources.base import StoredSource
from data.sources.folder import FolderSource

MAX_LISTED = 20
"""An error lists at most this many names, then only how many more there are."""
_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B")

Pixels = npt.NDArray[np.uint8]
"""Height x width x 3, RGB; or height x width if the file itself is gray."""


class BenchmarkDataset:
    """Iterates over (name, hr_image) or (name, hr_image, lr_image), one at a time.

    Pixels are uint8: height x width x 3, RGB, or height x width if the file itself is gray.

    Args:
        dataset: its spec; `lr_path` is the folder of the LR images, if it has any.
        source: the source of the HR images.
        entries: the source's index.
        rejections: what the index rejected.
        images: the number of images that it must have; 0 if that is not known.

    Raises:
        UserError: the dataset is not complete.
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
        self._require_complete(list(rejections), images)
        self._lr_paths = self._match_lr_images() if dataset.lr_path else {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[str, Pixels] | tuple[str, Pixels, Pixels]]:
        for entry, hr_image in self._source.read(self._entries):
            if isinstance(hr_image, Rejection):
                message = (
                    f"{self._dataset.name}/{entry.id} can't be read: {hr_image.reason} ({hr_image.detail})"
                )
                raise UserError(message, "Replace the image")
            name = Path(entry.id).with_suffix("").as_posix()
            if self._is_gray(entry, hr_image):
                hr_image = hr_image[..., 0]
            if self._lr_paths:
                yield name, hr_image, self._read_lr_image(entry.id)
            else:
                yield name, hr_image

    def _is_gray(self, entry: SourceEntry, pixels: Pixels) -> bool:
        """Return whether the file has one channel: some protocols treat it unlike three equal channels."""
        if not isinstance(self._source, StoredSource) or not np.array_equal(pixels[..., 0], pixels[..., 2]):
            return False
        with Image.open(io.BytesIO(self._source.load(entry.locator))) as file:
            return file.mode in _GRAY_MODES

    def _require_complete(self, rejections: list[Rejection], images: int) -> None:
        """Refuse rejected and missing images, which a training set tolerates."""
        name, ids = self._dataset.name, sorted(entry.id for entry in self._entries)
        # If the number of images is known, it shows whether one is missing.
        rejected = [one for one in rejections if not _is_another_file(one, may_be_image=not images)]
        if rejected:
            listed = _join_names(f"{one.id} ({one.reason}: {one.detail})" for one in rejected)
            message = f"The benchmark dataset {name} has unusable images: {listed}"
            raise UserError(message, "Repair, convert or remove these files")
        if images and len(ids) != images:
            message = (
                f"{name} has {len(ids)} images, but the published {name} has {images}: {_join_names(ids)}"
            )
            raise UserError(message, "Complete it; if it is another dataset, give its folder another name")

    def _match_lr_images(self) -> dict[str, Path]:
        """Find the LR image of each HR image: the same name below LR/."""
        root = Path(self._dataset.lr_path)
        lr_paths = {entry.id: root / entry.id for entry in self._entries}
        missing = [id for id, path in lr_paths.items() if not path.is_file()]
        found = {
            path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix.lower() in SUFFIXES
        }
        extra = sorted(found - set(lr_paths))
        if missing or extra:
            message = (
                f"The images in {root} do not match the HR images by name: "
                f"missing {_join_names(missing)}, without an HR image {_join_names(extra)}"
            )
            raise UserError(message, "Give each LR image the name of its HR image")
        return lr_paths

    def _read_lr_image(self, entry_id: str) -> Pixels:
        path = self._lr_paths[entry_id]
        try:
            return decode(path.read_bytes())
        except ImageFault as fault:
            raise UserError(f"{path} can't be read: {fault}", "Replace the image") from None


def fingerprint_lr_images(dataset: DatasetSpec) -> dict[str, Any] | None:
    """Return JSON data that changes when the LR images of a benchmark dataset change; None if it has no LR images."""
    return FolderSource(Path(dataset.lr_path)).fingerprint() if dataset.lr_path else None


def _is_another_file(rejection: Rejection, *, may_be_image: bool) -> bool:
    """Return whether a rejected file is none of the benchmark's images, so that it is complete without it."""
    if rejection.reason is not RejectionReason.NOT_AN_IMAGE:
        return False
    path = PurePosixPath(rejection.id)
    return path.name.startswith(".") or not (may_be_image and path.suffix.lower() in OTHER_SUFFIXES)


def _join_names(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return (", ".join(names[:MAX_LISTED]) + more) or "none"
