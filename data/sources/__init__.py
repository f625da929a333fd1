"""Sources: where images come from, one class each, all with `scan()` and `read()`.

The list is explicit: a new kind of source is a class here and a line in `open_source`.
"""

from collections.abc import Sequence
from pathlib import Path

from data.catalog.catalog import DatasetSpec, archive_suffix
from data.errors import UserError
from data.sources.archive import ArchiveSource
from data.sources.base import Source
from data.sources.folder import FilesSource, FolderSource, photos
from data.sources.sample import SampleSource
from data.video.sampling_settings import VideoSettings

__all__ = ["Source", "open_source"]


def open_source(
    dataset: DatasetSpec,
    files: Sequence[Path] = (),
    alpha: str = "refuse",
    videos: VideoSettings | None = None,
) -> Source:
    """Return the source of a dataset.

    Args:
        dataset: what `data.catalog.catalog.resolve` gave.
        files: its downloaded files, or the folder of a disc's videos, where it has any.
        alpha: what becomes of transparent images, see `data.imaging.decode.decode`.
        videos: which frames of videos are taken.

    Raises:
        UserError: the catalog names a kind that does not exist, or images and archives together.
    """
    if dataset.kind == "sample":
        return SampleSource(**dataset.options)
    if dataset.kind == "photos":
        return photos(alpha)
    if dataset.kind == "folder":
        return FolderSource(Path(dataset.path), alpha)
    if dataset.kind in ("zip", "tar"):
        return ArchiveSource([Path(dataset.path)], dataset.members, alpha)
    if dataset.kind in ("video", "disc"):
        # Here and not above: it loads FFmpeg's libraries, which nothing but a video is worth waiting for.
        from data.sources.video import VideoSource

        return VideoSource(
            Path(dataset.path) if dataset.kind == "video" else files[0], videos or VideoSettings()
        )
    archives = [path for path in files if archive_suffix(path.name)]
    if dataset.kind == "archives" and archives and len(archives) == len(files):
        return ArchiveSource(archives, dataset.members, alpha)
    if dataset.kind == "archives" and files and not archives:
        return FilesSource(list(files), alpha)
    kinds = "archives (all zips and tars, or all images), folder, zip, tar, video, disc, sample or photos"
    remedy = "mend its catalog file"
    raise UserError(f"one of the kinds {kinds}", repr(dataset.kind), f"dataset {dataset.name}", remedy)
