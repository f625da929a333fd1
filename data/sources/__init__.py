"""Sources: where pictures come from, one class each, all with `scan()` and `read()`.

The list is explicit: a new kind of source is a class here and a line in `open_source`.
"""

from pathlib import Path

from data.catalogue import DatasetSpec
from data.errors import UserError
from data.films.settings import FilmSettings
from data.sources.archive import ArchiveSource
from data.sources.base import Source
from data.sources.folder import FolderSource, PhotosSource
from data.sources.sample import SampleSource

__all__ = ["Source", "open_source"]


def open_source(
    dataset: DatasetSpec, downloads: Path | None = None, films: FilmSettings | None = None
) -> Source:
    """Return the source of a dataset.

    Args:
        dataset: what `data.catalogue.resolve` gave.
        downloads: the directory of its downloaded archives, or of a disc's films, where it has any.
        films: which frames of films are taken.

    Raises:
        UserError: the catalogue names a kind that does not exist.
    """
    if dataset.kind == "sample":
        return SampleSource(**dataset.options)
    if dataset.kind == "photos":
        return PhotosSource()
    if dataset.kind == "folder":
        return FolderSource(Path(dataset.path))
    if dataset.kind in ("zip", "tar"):
        return ArchiveSource([Path(dataset.path)])
    if dataset.kind in ("film", "disc"):
        # Here and not above: it loads FFmpeg's libraries, which nothing but a film is worth waiting for.
        from data.sources.film import FilmSource

        return FilmSource(
            Path(dataset.path) if dataset.kind == "film" else downloads, films or FilmSettings()
        )
    if dataset.kind == "archives" and downloads is not None:
        archives = [path for path in sorted(downloads.iterdir()) if path.suffix in (".zip", ".tar")]
        return ArchiveSource(archives, dataset.members)
    kinds = "archives, folder, zip, tar, film, disc, sample or photos"
    raise UserError(
        f"one of the kinds {kinds}", repr(dataset.kind), f"dataset {dataset.name}", "mend its catalogue file"
    )
