"""Resolve the `--dataset` option: a catalog name, a path, or a disc.

The built-in catalog has one TOML file per dataset in data/catalog/datasets/. A catalog folder of the user
([store] catalog) is read first, so a file there adds a dataset or replaces a built-in one.
"""

import difflib
import re
from pathlib import Path

from data.catalog.folder_contents import require_readable
from data.catalog.from_path import dataset_from_path, is_there
from data.catalog.from_toml import read_catalog_file
from data.catalog.spec import DatasetSpec, slugify
from data.errors import UserError

BUILT_IN_CATALOG = Path(__file__).parent / "datasets"
_CHOICE = re.compile(r"(images|videos):(.+)")
_DISC = re.compile(r"disc:(\d{1,3})(?::(.+))?")


def resolve_dataset(dataset: str, catalog: Path | None = None) -> DatasetSpec:
    """Resolve a dataset name or path to its spec.

    Args:
        dataset: a catalog name (DIV2K); the path of a folder, a .zip, a .tar, a .tar.gz or a video; images:FOLDER or
            videos:FOLDER for a folder that holds both; or a disc in a drive, disc:0 or disc:0:TITLE.
        catalog: the user's own folder of catalog files, which has precedence over the built-in catalog.

    Raises:
        UserError: the name or path does not exist, the path is of an unknown kind, or a catalog file is invalid.

    Example:
        >>> resolve_dataset("DIV2K").kind
        'archives'
    """
    if not set("/\\") & set(dataset):
        file = _catalog_files(catalog).get(dataset.lower())
        if file:
            return read_catalog_file(file)
    disc = _DISC.fullmatch(dataset)
    if disc:
        title = disc[2] or f"disc{int(disc[1])}"
        return DatasetSpec(slugify(title), "disc", f"Videos of {title}", "unknown", path=str(int(disc[1])))
    path = _expand(dataset)
    if is_there(path):
        return dataset_from_path(path.resolve())
    choice = _CHOICE.fullmatch(dataset)
    if choice:
        folder = _expand(choice[2])
        if not (is_there(folder) and folder.is_dir()):
            message = f"There is no folder at {folder.absolute()}"
            raise UserError(message, "Check the path; images: and videos: need that of a folder")
        return dataset_from_path(folder.resolve(), "folder" if choice[1] == "images" else "video")
    if "/" in dataset or path.suffix:
        message = f"There is no folder, archive or video at {path.absolute()}"
        raise UserError(message, "Check the path, or give the name of a dataset in the catalog")
    raise _unknown_name(dataset, dataset_names(catalog))


def dataset_names(catalog: Path | None = None) -> list[str]:
    """Return the names of all datasets in the catalog, sorted."""
    return sorted(read_catalog_file(path).name for path in _catalog_files(catalog).values())


def _catalog_files(catalog: Path | None) -> dict[str, Path]:
    """Return the path of each catalog file by its dataset's name in lower case."""
    if catalog is not None:
        require_readable(catalog, "[store] catalog")
    folders = [BUILT_IN_CATALOG] if catalog is None else [BUILT_IN_CATALOG, catalog]
    return {path.stem.lower(): path for folder in folders for path in sorted(folder.glob("*.toml"))}


def _expand(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user
        return Path(path)


def _unknown_name(dataset: str, known: list[str]) -> UserError:
    close = difflib.get_close_matches(dataset, known, n=1, cutoff=0.5)
    message = f"There is no dataset {dataset!r} in the catalog: {', '.join(known)}"
    if close:
        return UserError(message, f"Did you mean {close[0]}?")
    return UserError(message, "Give one of these names, or ./NAME for a folder")
