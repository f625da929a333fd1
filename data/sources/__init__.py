"""Sources: where images come from. Each kind is one class with `scan()` and `read()`.

The list is explicit: to add a kind of source, write a class and add it to `open_source`.
"""

from collections.abc import Sequence
from pathlib import Path

from data.catalog.spec import DatasetSpec, archive_suffix, name_of_split_zip
from data.errors import UserError
from data.sources.archive import ArchiveSource
from data.sources.archive_folder import ArchiveFolderSource
from data.sources.base import Source
from data.sources.folder import FilesSource, FolderSource, open_scikit_image_photos
from data.sources.sample import SampleSource
from data.sources.url_list import UrlListSource
from data.video.sampling_settings import FrameSamplingSettings

__all__ = ["Source", "open_source"]

_KINDS = (
    "archives (all zips and tars, or all images), folder, archive_folder, zip, tar, url_list, video, "
    "video_archives, disc, sample or photos"
)


def open_source(
    dataset: DatasetSpec,
    files: Sequence[Path] = (),
    alpha: str = "refuse",
    videos: FrameSamplingSettings | None = None,
) -> Source:
    """Open the source of a dataset.

    Args:
        dataset: its spec, as `data.catalog.resolve.resolve_dataset` returns it.
        files: the downloaded files; for a disc and for archives of videos, the folder of the videos; for a list of
            URLs, the directory of what was fetched.
        alpha: how to handle transparent images, see `data.imaging.decode.decode`.
        videos: which frames of videos to sample; None for the default settings.

    Raises:
        UserError: the dataset's kind does not exist, or its files mix images and archives.
    """
    if dataset.kind == "sample":
        return SampleSource(**dataset.options)
    if dataset.kind == "photos":
        return open_scikit_image_photos(alpha)
    if dataset.kind == "folder":
        return FolderSource(Path(dataset.path), alpha)
    if dataset.kind == "archive_folder":
        return ArchiveFolderSource(Path(dataset.path), alpha)
    if dataset.kind == "url_list":
        return UrlListSource(files[0], alpha)
    if dataset.kind in ("zip", "tar"):
        return ArchiveSource([Path(dataset.path)], dataset.members, alpha)
    if dataset.kind in ("video", "disc", "video_archives"):
        # Imported here because it loads FFmpeg's libraries, which only videos need.
        from data.sources.video import VideoSource

        path = Path(dataset.path) if dataset.kind == "video" else files[0]
        return VideoSource(path, videos or FrameSamplingSettings())
    archives = [path for path in files if archive_suffix(path.name)]
    other_parts = sum(bool(name_of_split_zip(path.name)) for path in files)
    if dataset.kind == "archives" and archives and len(archives) + other_parts == len(files):
        return ArchiveSource(archives, dataset.members, alpha, is_downloaded=True)
    if dataset.kind == "archives" and files and not archives:
        return FilesSource(list(files), alpha)
    message = f"The dataset {dataset.name} is of kind {dataset.kind!r}; it must be one of {_KINDS}"
    raise UserError(message, "Correct its catalog file")
