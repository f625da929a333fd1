"""Read a dataset's TOML file and check every field."""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

from data.catalog.from_path import dataset_from_path
from data.catalog.spec import GROUPS, SAMPLE_OPTIONS, DatasetSpec, RemoteFile, is_group
from data.errors import UserError
from data.exhaustion import hint_of
from data.redacted_urls import redact

CATALOG_KINDS = ("archives", "video_archives", "url_list", "sample", "photos")
"""The kinds that a catalog file may name. With `path` the kind follows from what is at the path."""
FOLDER_KINDS = ("folder", "video")
LOSSY = ("by_format", "yes", "no")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_HEX = {"sha256": re.compile(r"[0-9a-f]{64}"), "md5": re.compile(r"[0-9a-f]{32}")}


def read_catalog_file(path: Path) -> DatasetSpec:
    """Read one dataset's TOML file.

    Raises:
        UserError: the file is not TOML; a field is missing, unknown, of another type or invalid; or its `path` does not
            exist.
    """
    try:
        dataset = _dataset(tomllib.loads(path.read_text(encoding="utf-8-sig")), path.parent)
        _check(dataset, path)
        return dataset
    except OSError as error:
        hint = hint_of(error) or "Correct the path, or the rights of the file"
        raise UserError(f"The catalog file {path} can't be read: {error.strerror}", hint) from None
    except (ValueError, TypeError, KeyError, RuntimeError, re.error) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        message = f"The catalog file {path} is invalid: {problem}"
        raise UserError(
            message, hint_of(error) or "See docs/how-to/add-a-dataset.md for its fields"
        ) from None


def _dataset(table: dict[str, Any], folder: Path) -> DatasetSpec:
    """Build the spec of a catalog file's table; relative paths start at `folder`."""
    known = {field.name for field in dataclasses.fields(DatasetSpec)} - {"lr_path", "note"}
    _refuse_unknown(table, known)
    for required in ("name", "title", "license", *([] if "path" in table else ["kind"])):
        _typed(table, required, str)
    texts = known - {"files", "options"}
    fields: dict[str, Any] = {"group": "image"}
    fields |= {name: _typed(table, name, str) for name in texts & set(table)}
    fields["files"] = tuple(_remote_file(entry) for entry in _typed(table, "files", list, []))
    fields["options"] = _typed(table, "options", dict, {})
    if "path" in fields:
        path = folder / Path(fields.pop("path")).expanduser()
        return _with_path(path.resolve(), fields)
    dataset = DatasetSpec(**fields)
    if dataset.kind not in CATALOG_KINDS:
        raise ValueError(
            f"kind is {dataset.kind!r}; it must be one of {', '.join(CATALOG_KINDS)}, or `path` is needed"
        )
    return dataset


def _with_path(path: Path, fields: dict[str, Any]) -> DatasetSpec:
    """Build the spec of a catalog file with `path`; `kind` chooses between a folder's images and its videos."""
    kind = fields.get("kind", "")
    dataset = dataset_from_path(path, kind if kind in FOLDER_KINDS else "")
    if kind not in ("", dataset.kind):
        choices = ", ".join(FOLDER_KINDS)
        raise ValueError(f"kind is {kind!r}; with `path` it is for folders only, and one of {choices}")
    return dataclasses.replace(dataset, **fields)


def _check_options(dataset: DatasetSpec) -> None:
    """Raise ValueError for an option that does not exist, is missing or invalid."""
    options, known = dataset.options, SAMPLE_OPTIONS if dataset.kind == "sample" else ()
    unknown = sorted(set(options) - set(known))
    if unknown:
        fitting = f"the options are {', '.join(known)}" if known else "only the kind sample has options"
        raise ValueError(f"unknown option {', '.join(unknown)}; {fitting}")
    for name in known:
        if type(options.get(name, 0)) is not int:
            raise ValueError(f"option {name} is {options[name]!r}; it must be a whole number")
        if name != "seed" and options.get(name, 0) < 1:
            raise ValueError(f"option {name} must be given and be at least 1")


def _check(dataset: DatasetSpec, path: Path) -> None:
    """Raise ValueError for a field that has the right type but an invalid value."""
    if not _NAME.fullmatch(dataset.name) or dataset.name.lower() != path.stem.lower():
        raise ValueError(f"name is {dataset.name!r}; it must be the file's name without .toml")
    if dataset.lossy not in LOSSY:
        raise ValueError(f"lossy is {dataset.lossy!r}; it must be one of {', '.join(LOSSY)}")
    if not is_group(dataset.group):
        choices = ", ".join(GROUPS)
        raise ValueError(f"group is {dataset.group!r}; it must be {choices} or an expression with one group")
    _check_options(dataset)
    if dataset.kind == "archives" and bool(dataset.files) == bool(dataset.archives_of):
        raise ValueError("it needs either [[files]] or archives_of")
    if dataset.kind in ("url_list", "video_archives") and not dataset.files:
        raise ValueError("it needs [[files]]")


def _remote_file(entry: Any) -> RemoteFile:
    """Build a RemoteFile from a [[files]] table and check it."""
    if not isinstance(entry, dict):
        raise TypeError("files must be [[files]] tables")
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
        raise ValueError(f"file name {file.name!r} must be a plain name without folders")
    for url in urls:
        if not (isinstance(url, str) and re.fullmatch(r"https?://[!-~]+", url)):
            raise ValueError(
                f"url {redact(str(url))!r} of {file.name} must start with http:// or https:// and have no spaces"
            )
    for algorithm, digits in _HEX.items():
        digest = getattr(file, algorithm)
        if digest and not digits.fullmatch(digest):
            raise ValueError(f"{algorithm} {digest!r} of {file.name} must be hex digits")
    return file


def _typed(table: dict[str, Any], name: str, kind: type, *default: Any) -> Any:
    """Return a field of the table, checked for its type."""
    value = table.get(name, *default) if default else table[name]
    if type(value) is not kind:
        raise TypeError(f"{name} is {value!r}; it must be of type {kind.__name__}")
    return value


def _refuse_unknown(table: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise ValueError(f"unknown field {', '.join(unknown)}; the fields are {', '.join(sorted(known))}")
