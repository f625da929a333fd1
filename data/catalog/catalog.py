"""The dataset catalog: one TOML file a dataset in data/catalog/datasets/, and what a path on the command line means.

A folder of a person's own ([store] catalog) is read before the built-in one, so a file there adds a dataset or takes
the place of one. Says what a dataset is and where it comes from; never fetches or opens it.
"""

import dataclasses
import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from data.errors import UserError

CATALOG = Path(__file__).parent / "datasets"
ARCHIVE_KINDS = {".zip": "zip", ".tar": "tar", ".tar.gz": "tar", ".tgz": "tar"}
"""The end of an archive's name and its kind. A compressed tar is told from a plain one by its first bytes."""
CATALOG_KINDS = ("archives", "sample", "photos")
"""What a catalog file may name as its kind; with `path` the kind follows from what is there."""
LOSSY = ("by_format", "yes", "no")
GROUPS = ("image", "folder")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_HEX = {"sha256": re.compile(r"[0-9a-f]{64}"), "md5": re.compile(r"[0-9a-f]{32}")}
VIDEO_SUFFIXES = (
    ".mkv", ".mp4", ".m4v", ".mov", ".webm", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob", ".avi", ".wmv",
    ".asf", ".flv", ".ogv", ".ogm", ".mxf", ".3gp",
)  # fmt: skip
"""What a video's name ends in; data/video/demux.py says which containers are opened."""
_DISC = re.compile(r"disc:(\d{1,3})(?::(.+))?")


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file to download and how to know that it is the right one."""

    name: str
    urls: tuple[str, ...] = ()
    """Mirrors, the first is tried first; none for what has to be got by hand."""
    bytes: int = 0
    """Expected size; 0 where it is not known."""
    sha256: str = ""
    md5: str = ""
    """Used where no sha256 is published."""

    @property
    def checksum(self) -> tuple[str, str]:
        """The algorithm and the published digest; the digest is empty where none is published."""
        return ("md5", self.md5) if self.md5 and not self.sha256 else ("sha256", self.sha256)


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """What a dataset is: by catalog name, or by a path that a person gave."""

    name: str
    kind: str
    """archives (what is downloaded), folder, zip, tar, video (or a folder of videos), disc, sample, photos."""
    title: str
    license: str
    citation: str = ""
    files: tuple[RemoteFile, ...] = ()
    """For kind archives: what to download, in order."""
    path: str = ""
    """For a path: the absolute path of the folder, archive or video; for a disc the number of its drive."""
    lr_path: str = ""
    """For a benchmark folder with HR/ and LR/: the absolute path of LR/."""
    archives_of: str = ""
    """For kind archives without files of its own: the dataset whose download holds this one too."""
    members: str = ""
    """For kind archives: the layout inside; only members whose path starts with this are the dataset's."""
    manual: str = ""
    """How to get by hand what can't be downloaded, or what else to try; shown when the download fails."""
    lossy: str = "by_format"
    """Whether compression has left artifacts that must be reduced away: by_format (as each file's format says), yes,
    no."""
    group: str = "image"
    """Which images stay together in one split: image (each alone), folder (those of one folder), or a regular
    expression that is searched for in the id, its first group naming the group."""
    options: dict[str, int] = dataclasses.field(default_factory=dict)
    """For kind sample: images, width_px, height_px, seed."""


def resolve(dataset: str, catalog: Path | None = None) -> DatasetSpec:
    """Find out what a dataset name or path means.

    Args:
        dataset: a catalog name (DIV2K); the path of a folder, a .zip, a .tar, a .tar.gz or a video; or a disc in a
            drive, disc:0 or disc:0:TITLE.
        catalog: a person's own folder of catalog files, which go before the built-in ones.

    Raises:
        UserError: neither a name nor a path that exists, or a path of another kind, or a bad catalog file.
    """
    if not set("/\\") & set(dataset):
        file = _catalog_files(catalog).get(dataset.lower())
        if file:
            return read_catalog_file(file)
    disc = _DISC.fullmatch(dataset)
    if disc:
        title = disc[2] or f"disc{int(disc[1])}"
        return DatasetSpec(plain_name(title), "disc", f"Videos of {title}", "unknown", path=str(int(disc[1])))
    path = Path(dataset).expanduser()
    if path.exists():
        return _of_path(path.resolve())
    if "/" in dataset or path.suffix:
        remedy = "check the path, or give a catalog name"
        raise UserError("an existing folder, .zip or .tar", "nothing there", str(path.absolute()), remedy)
    known = names(catalog)
    close = difflib.get_close_matches(dataset, known, n=1, cutoff=0.5)
    remedy = (
        f"write {close[0]} if that is what you mean"
        if close
        else "take one of these, or write ./NAME for a folder"
    )
    expected = f"a dataset of the catalog ({', '.join(known)}) or a path"
    raise UserError(expected, repr(dataset), "the dataset's name", remedy)


def names(catalog: Path | None = None) -> list[str]:
    """Return the catalog's dataset names, sorted."""
    return sorted(read_catalog_file(path).name for path in _catalog_files(catalog).values())


def _catalog_files(catalog: Path | None) -> dict[str, Path]:
    """Return the catalog's files by their dataset's name in lower case."""
    if catalog is not None and not catalog.is_dir():
        raise UserError("a folder of catalog files", "none", f"[store] catalog ({catalog})", "check the path")
    folders = [CATALOG] if catalog is None else [CATALOG, catalog]
    return {path.stem.lower(): path for folder in folders for path in sorted(folder.glob("*.toml"))}


def read_catalog_file(path: Path) -> DatasetSpec:
    """Read one dataset's TOML file.

    Raises:
        UserError: not TOML; a field is missing, unknown, of another type or makes no sense; or its `path` leads
            nowhere.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        known = {field.name for field in dataclasses.fields(DatasetSpec)} - {"lr_path"}
        _refuse_unknown(table, known)
        for needed in ("name", "title", "license", *([] if "path" in table else ["kind"])):
            _typed(table, needed, str)
        texts = known - {"files", "options"}
        fields: dict[str, Any] = {name: _typed(table, name, str) for name in texts & set(table)}
        fields["files"] = tuple(_remote_file(entry) for entry in _typed(table, "files", list, []))
        fields["options"] = _typed(table, "options", dict, {})
        if "path" in fields:
            there = _of_path((path.parent / Path(fields.pop("path")).expanduser()).resolve())
            dataset = dataclasses.replace(there, **fields)
        else:
            dataset = DatasetSpec(**fields)
            if dataset.kind not in CATALOG_KINDS:
                raise ValueError(
                    f"kind {dataset.kind!r} is none of {', '.join(CATALOG_KINDS)}, and no path is given"
                )
        _check(dataset, path)
        return dataset
    except (OSError, ValueError, TypeError, KeyError, re.error) as error:
        problem = f"no {error}" if isinstance(error, KeyError) else str(error)
        remedy = "see docs/datasets.md for its fields"
        raise UserError("a catalog file", problem, str(path), remedy) from None


def _check(dataset: DatasetSpec, path: Path) -> None:
    """Raise ValueError for what has the right type and makes no sense."""
    if not _NAME.fullmatch(dataset.name) or dataset.name.lower() != path.stem.lower():
        raise ValueError(f"name {dataset.name!r}; the file's name without .toml was expected")
    if dataset.lossy not in LOSSY:
        raise ValueError(f"lossy {dataset.lossy!r}; one of {', '.join(LOSSY)} was expected")
    if dataset.group not in GROUPS and re.compile(dataset.group).groups != 1:
        raise ValueError(
            f"group {dataset.group!r}; {', '.join(GROUPS)} or an expression with one group was expected"
        )
    if dataset.kind == "archives" and bool(dataset.files) == bool(dataset.archives_of):
        raise ValueError("either [[files]] or archives_of is needed")


def _remote_file(entry: Any) -> RemoteFile:
    """Return one [[files]] table, checked."""
    if not isinstance(entry, dict):
        raise TypeError("[[files]] tables were expected")
    _refuse_unknown(entry, {field.name for field in dataclasses.fields(RemoteFile)})
    urls = _typed(entry, "urls", list, [])
    file = RemoteFile(
        name=_typed(entry, "name", str),
        urls=tuple(urls),
        bytes=_typed(entry, "bytes", int, 0),
        sha256=_typed(entry, "sha256", str, "").lower(),
        md5=_typed(entry, "md5", str, "").lower(),
    )
    if file.name != Path(file.name).name or file.name.startswith("."):
        raise ValueError(f"file name {file.name!r}; a plain name without folders was expected")
    for url in urls:
        if not (isinstance(url, str) and re.fullmatch(r"https?://[!-~]+", url)):
            raise ValueError(f"url {url!r} of {file.name}; http:// or https:// without spaces was expected")
    for algorithm, digits in _HEX.items():
        if getattr(file, algorithm) and not digits.fullmatch(getattr(file, algorithm)):
            raise ValueError(
                f"{algorithm} {getattr(file, algorithm)!r} of {file.name}; hex digits were expected"
            )
    return file


def _typed(table: dict[str, Any], name: str, kind: type, *default: Any) -> Any:
    value = table.get(name, *default) if default else table[name]
    if type(value) is not kind:
        raise TypeError(f"{name} = {value!r}; {kind.__name__} was expected")
    return value


def _refuse_unknown(table: dict[str, Any], known: set[str]) -> None:
    odd = sorted(set(table) - known)
    if odd:
        raise ValueError(f"unknown field {', '.join(odd)}; known are {', '.join(sorted(known))}")


def archive_suffix(name: str) -> str:
    """Return which of ARCHIVE_KINDS a file's name ends in; empty for any other."""
    ends = [suffix for suffix in ARCHIVE_KINDS if name.lower().endswith(suffix)]
    return max(ends, key=len, default="")


def _of_path(path: Path) -> DatasetSpec:
    suffix = archive_suffix(path.name) if path.is_file() else ""
    stem = path.stem if path.is_file() else path.name
    name = plain_name(path.name[: -len(suffix)] if suffix else stem)
    known = {"title": f"Images of {path.name}", "license": "unknown"}
    if path.is_dir():
        hr_image, lr_image = path / "HR", path / "LR"
        if hr_image.is_dir() and lr_image.is_dir():
            name = f"{path.parent.name}-{name}" if re.fullmatch(r"x\d", name) else name
            return DatasetSpec(name=name, kind="folder", path=str(hr_image), lr_path=str(lr_image), **known)
        kind = "video" if _holds_videos(path) else "folder"
        return DatasetSpec(name=name, kind=kind, path=str(path), **known)
    if suffix:
        return DatasetSpec(name=name, kind=ARCHIVE_KINDS[suffix], path=str(path), **known)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return DatasetSpec(name=name, kind="video", path=str(path), **known)
    expected = f"a folder or one of {', '.join((*ARCHIVE_KINDS, *VIDEO_SUFFIXES))}"
    raise UserError(
        expected,
        f"a file ending in {path.suffix!r}" if path.exists() else "nothing there",
        str(path),
        "put the images into a folder",
    )


def plain_name(text: str) -> str:
    """Return a text as it can be part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "folder"


def _holds_videos(folder: Path) -> bool:
    """Return whether a folder's videos outweigh all its other files: covers and subtitles lie beside many videos."""
    videos = others = 0
    for directory, _, files in os.walk(folder):
        for name in files:
            size = os.lstat(os.path.join(directory, name)).st_size
            is_video = name.lower().endswith(VIDEO_SUFFIXES)
            videos, others = videos + size * is_video, others + size * (not is_video)
    return videos > others
