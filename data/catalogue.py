"""The dataset catalogue: one TOML file a dataset in data/catalog/, and what a path on the command line means.

Says what a dataset is and where it comes from; never fetches or opens it.
"""

import dataclasses
import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from data.errors import UserError

CATALOG = Path(__file__).parent / "catalog"
ARCHIVE_SUFFIXES = (".zip", ".tar")
FILM_SUFFIXES = (
    ".mkv", ".mp4", ".m4v", ".mov", ".webm", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob", ".avi", ".wmv",
    ".asf", ".flv", ".ogv", ".ogm", ".mxf", ".3gp",
)  # fmt: skip
"""What a film's name ends in; data/films/container.py says which containers are opened."""
_DISC = re.compile(r"disc:(\d{1,3})(?::(.+))?")


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file to download and how to know that it is the right one."""

    name: str
    urls: tuple[str, ...]
    """Mirrors, the first is tried first."""
    bytes: int = 0
    """Expected size; 0 where it is not known."""
    sha256: str = ""
    md5: str = ""
    """Used where no sha256 is published."""


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """What a dataset is: by catalogue name, or by a path that a person gave."""

    name: str
    kind: str
    """archives (downloaded zips and tars), folder, zip, tar, film (one, or a folder of them), disc, sample, photos."""
    title: str
    licence: str
    citation: str = ""
    files: tuple[RemoteFile, ...] = ()
    """For kind archives: what to download, in order."""
    path: str = ""
    """For a path: the absolute path of the folder, archive or film; for a disc the number of its drive."""
    low_path: str = ""
    """For a benchmark folder with HR/ and LR/: the absolute path of LR/."""
    archives_of: str = ""
    """For kind archives without files of its own: the dataset whose download holds this one too."""
    members: str = ""
    """For kind archives: only members whose path starts with this."""
    manual: str = ""
    """How to get by hand what can't be downloaded."""
    options: dict[str, int] = dataclasses.field(default_factory=dict)
    """For kind sample: pictures, width_px, height_px, seed."""


def resolve(dataset: str) -> DatasetSpec:
    """Find out what a dataset name or path means.

    Args:
        dataset: a catalogue name (DIV2K); the path of a folder, a .zip, a .tar or a film; or a disc in a drive,
            disc:0 or disc:0:TITLE.

    Raises:
        UserError: neither a name nor a path that exists, or a path of another kind.
    """
    if (CATALOG / f"{dataset.lower()}.toml").is_file() and not set("/\\") & set(dataset):
        return read_catalogue_file(CATALOG / f"{dataset.lower()}.toml")
    disc = _DISC.fullmatch(dataset)
    if disc:
        title = disc[2] or f"disc{int(disc[1])}"
        return DatasetSpec(plain_name(title), "disc", f"Films of {title}", "unknown", path=str(int(disc[1])))
    path = Path(dataset).expanduser()
    if path.exists():
        return _of_path(path.resolve())
    if "/" in dataset or path.suffix:
        remedy = "check the path, or give a catalogue name"
        raise UserError("an existing folder, .zip or .tar", "nothing there", str(path.absolute()), remedy)
    known = names()
    close = difflib.get_close_matches(dataset, known, n=1, cutoff=0.5)
    remedy = (
        f"write {close[0]} if that is what you mean"
        if close
        else "take one of these, or write ./NAME for a folder"
    )
    expected = f"a dataset of the catalogue ({', '.join(known)}) or a path"
    raise UserError(expected, repr(dataset), "the dataset's name", remedy)


def names() -> list[str]:
    """Return the catalogue's dataset names, sorted."""
    return sorted(read_catalogue_file(path).name for path in CATALOG.glob("*.toml"))


def read_catalogue_file(path: Path) -> DatasetSpec:
    """Read one dataset's TOML file.

    Raises:
        UserError: not TOML, or a field is missing, unknown or of another type.
    """
    try:
        table = tomllib.loads(path.read_text())
        files = tuple(_remote_file(entry) for entry in table.pop("files", []))
        return DatasetSpec(files=files, **table)
    except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise UserError(
            "a catalogue file", str(error), str(path), "see docs/formats.md for its fields"
        ) from None


def _remote_file(entry: dict[str, Any]) -> RemoteFile:
    return RemoteFile(**{**entry, "urls": tuple(entry["urls"])})


def _of_path(path: Path) -> DatasetSpec:
    name = plain_name(path.stem if path.is_file() else path.name)
    known = {"title": f"Pictures of {path.name}", "licence": "unknown"}
    if path.is_dir():
        high, low = path / "HR", path / "LR"
        if high.is_dir() and low.is_dir():
            name = f"{path.parent.name}-{name}" if re.fullmatch(r"x\d", name) else name
            return DatasetSpec(name=name, kind="folder", path=str(high), low_path=str(low), **known)
        kind = "film" if _holds_films(path) else "folder"
        return DatasetSpec(name=name, kind=kind, path=str(path), **known)
    if path.suffix.lower() in FILM_SUFFIXES:
        return DatasetSpec(name=name, kind="film", path=str(path), **known)
    if path.suffix.lower() in ARCHIVE_SUFFIXES:
        return DatasetSpec(name=name, kind=path.suffix.lower()[1:], path=str(path), **known)
    expected = f"a folder or one of {', '.join(ARCHIVE_SUFFIXES + FILM_SUFFIXES)}"
    raise UserError(
        expected, f"a file ending in {path.suffix!r}", str(path), "put the pictures into a folder"
    )


def plain_name(text: str) -> str:
    """Return a text as it can be part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "folder"


def _holds_films(folder: Path) -> bool:
    """Return whether a folder's films outweigh all its other files: covers and subtitles lie beside many films."""
    films = others = 0
    for directory, _, files in os.walk(folder):
        for name in files:
            size = os.lstat(os.path.join(directory, name)).st_size
            is_film = name.lower().endswith(FILM_SUFFIXES)
            films, others = films + size * is_film, others + size * (not is_film)
    return films > others
