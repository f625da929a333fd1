"""Sources: where pictures come from, one class each, all with `scan()` and `read()`.

The list is explicit: a new kind of source is a class here and a line in `open_source`.
"""

from collections.abc import Sequence
from pathlib import Path

from data.catalogue import DatasetSpec, archive_suffix
from data.errors import UserError
from data.films.settings import FilmSettings
from data.sources.archive import ArchiveSource
from data.sources.base import Source
from data.sources.folder import FilesSource, FolderSource, photos
from data.sources.sample import SampleSource

__all__ = ["Source", "open_source"]


def open_source(
    dataset: DatasetSpec,
    files: Sequence[Path] = (),
    alpha: str = "refuse",
    films: FilmSettings | None = None,
) -> Source:
    """Return the source of a dataset.

    Args:
        dataset: what `data.catalogue.resolve` gave.
        files: its downloaded files, or the folder of a disc's films, where it has any.
        alpha: what becomes of transparent pictures, see `data.images.decode`.
        films: which frames of films are taken.

    Raises:
        UserError: the catalogue names a kind that does not exist, or pictures and archives together.
    """
    if dataset.kind == "sample":
        return SampleSource(**dataset.options)
    if dataset.kind == "photos":
        return photos(alpha)
    if dataset.kind == "folder":
        return FolderSource(Path(dataset.path), alpha)
    if dataset.kind in ("zip", "tar"):
        return ArchiveSource([Path(dataset.path)], dataset.members, alpha)
    if dataset.kind in ("film", "disc"):
        # Here and not above: it loads FFmpeg's libraries, which nothing but a film is worth waiting for.
        from data.sources.film import FilmSource

        return FilmSource(Path(dataset.path) if dataset.kind == "film" else files[0], films or FilmSettings())
    archives = [path for path in files if archive_suffix(path.name)]
    if dataset.kind == "archives" and archives and len(archives) == len(files):
        return ArchiveSource(archives, dataset.members, alpha)
    if dataset.kind == "archives" and files and not archives:
        return FilesSource(list(files), alpha)
    kinds = "archives (all zips and tars, or all pictures), folder, zip, tar, film, disc, sample or photos"
    remedy = "mend its catalogue file"
    raise UserError(f"one of the kinds {kinds}", repr(dataset.kind), f"dataset {dataset.name}", remedy)
