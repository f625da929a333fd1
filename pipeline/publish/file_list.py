"""published.json: the list of the files of a published directory, each with its size and its digest.

Crop datasets bring most digests along; they are taken from there, so that what is published is what was packed.
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

from data.atomic_files import read_json
from data.errors import UserError
from data.hashing import SPEC_DIGITS, sha256_file, spec_hash, xxh3_file
from data.record_json import from_plain
from data.selection import SelectionManifest
from data.shards import ShardPaths
from pipeline.dataset import read_manifest

LIST = "published.json"
RECORDS = {
    "crops": "dataset.json",
    "selections": "selection.json",
    "models": "model.json",
    "exports": "export.json",
}
"""The stages whose directories can be published, with the record that makes one whole."""
_NAME = re.compile(rf"[^/]+-[0-9a-f]{{{SPEC_DIGITS}}}")


@dataclasses.dataclass(frozen=True)
class PublishedFile:
    """One file of a published directory."""

    path: str
    """Below the directory, with "/"."""
    bytes: int
    digest: str
    """xxh3:HEX (128 bits) for the tar of a shard, otherwise sha256:HEX."""


@dataclasses.dataclass(frozen=True)
class PublishedList:
    """The content of published.json."""

    VERSION: ClassVar[int] = 1

    schema: int
    directory: str
    """<stage>/<name>-<12 hex>."""
    files: tuple[PublishedFile, ...]
    """All files but this one, sorted by path; the record is among them."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A directory of a store, by its stage and name."""

    stage: str
    name: str
    """<name>-<12 hex>."""

    @property
    def directory(self) -> str:
        """<stage>/<name>-<12 hex>."""
        return f"{self.stage}/{self.name}"

    @property
    def record(self) -> str:
        """The file that is written last."""
        return RECORDS[self.stage]


def find_place(path: str) -> Place | None:
    """Return the place that a path or URL ends with; None if it ends otherwise."""
    _, stage, name = ("", "", *path.rstrip("/").split("/"))[-3:]
    return Place(stage, name) if stage in RECORDS and _NAME.fullmatch(name) else None


def require_finished(directory: Path) -> Place:
    """Return the place of a finished directory of a store.

    Raises:
        UserError: it is of a stage that is not published, it is not finished, or its spec.json is damaged.
    """
    place = find_place(directory.absolute().as_posix())
    if place is None or not directory.is_dir():
        known = ", ".join(f"{stage}/NAME-HEX" for stage in RECORDS)
        raise UserError(f"{directory} is not a directory that can be published", f"Name one such as {known}")
    if not (directory / place.record).is_file():
        message = f"{directory} is not finished: it has no {place.record}"
        raise UserError(message, "Run the task that makes it, then publish it")
    check_spec(directory / "spec.json", place)
    return place


def check_spec(path: Path, place: Place) -> None:
    """Check that a spec.json is the one that a directory is named by.

    Raises:
        UserError: it is missing, damaged, or of another directory.
    """
    found = spec_hash(read_json(path))
    if not place.name.endswith(f"-{found}"):
        message = (
            f"{path} is damaged or of another directory: its hash is {found}, but the name is {place.name}"
        )
        raise UserError(message, "Make the directory again")


def list_files(directory: Path, place: Place) -> list[PublishedFile]:
    """Return the files of a finished directory, sorted by path.

    The digests that its manifest has are taken from there, unread; the other files are small and are hashed.

    Raises:
        UserError: a file that the manifest names is missing or has another size.
    """
    known = dict(_known_files(directory)) if place.stage == "crops" else {}
    names = set(known) | {place.record, "spec.json"} if known else set(_walk(directory))
    files = []
    for name in sorted(names):
        path = directory / name
        if not path.is_file():
            raise UserError(
                f"{path} is missing, though {place.record} names it", "Run VerifyDataset with --rebuild"
            )
        size_bytes, digest = known.get(name, (None, ""))
        found_bytes = path.stat().st_size
        if size_bytes not in (None, found_bytes):
            message = f"{path} has {found_bytes} bytes, but {place.record} says {size_bytes}"
            raise UserError(message, "Run VerifyDataset with --rebuild")
        files.append(PublishedFile(name, found_bytes, digest or f"sha256:{sha256_file(path)}"))
    return files


def _known_files(directory: Path) -> Iterator[tuple[str, tuple[int | None, str]]]:
    """Yield the files that dataset.json names: size where it says so, and digest; empty where it has none."""
    manifest = read_manifest(directory)
    for header in manifest.shards:
        paths = ShardPaths(Path(), header.shard)
        yield paths.tar.as_posix(), (header.tar_bytes, f"xxh3:{header.tar_xxh3}")
        yield paths.header.as_posix(), (None, "")
        yield paths.index.as_posix(), (None, f"sha256:{header.index_sha256}")
        yield paths.manifest.as_posix(), (None, f"sha256:{header.manifest_sha256}")
        yield paths.rejections.as_posix(), (None, f"sha256:{header.rejections_sha256}")
        if header.warnings_sha256:
            yield paths.warnings.as_posix(), (None, f"sha256:{header.warnings_sha256}")
    for name, sha256 in manifest.file_sha256.items():
        yield name, (None, f"sha256:{sha256}")


def _walk(directory: Path) -> Iterator[str]:
    """Yield all files but hidden ones and those of run/."""
    for path in directory.rglob("*"):
        parts = path.relative_to(directory).parts
        is_hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not is_hidden and parts[0] != "run" and parts != (LIST,):
            yield "/".join(parts)


def digest_of(path: Path, kind: str) -> str:
    """Return the digest of a file, of the same kind as `kind`: xxh3:… or sha256:…."""
    name = kind.partition(":")[0]
    return f"{name}:{xxh3_file(path) if name == 'xxh3' else sha256_file(path)}"


def parse_list(content: bytes, place: Place, where: str) -> PublishedList:
    """Return the content of a published.json.

    Raises:
        UserError: it is damaged, of another directory, or names a file outside of it.
    """
    import json

    try:
        value = json.loads(content)
    except ValueError as error:
        raise UserError(f"{where} is not valid JSON: {error}", "Publish the directory again") from None
    published = from_plain(PublishedList, value, where)
    if published.directory != place.directory:
        message = f"{where} lists the files of {published.directory}, not of {place.directory}"
        raise UserError(message, "Check the URL, or publish the directory again")
    for file in published.files:
        check_relative(file.path, where)
        if file.digest.partition(":")[0] not in ("xxh3", "sha256") or file.bytes < 0:
            raise UserError(f"{where} has no usable digest of {file.path}", "Publish the directory again")
    if place.record not in {file.path for file in published.files}:
        raise UserError(f"{where} does not list {place.record}", "Publish the directory again")
    return published


def check_relative(path: str, where: str) -> None:
    """Refuse a path that leads out of the directory it is relative to, or to a hidden file or run/."""
    parts = PurePosixPath(path).parts
    is_safe = (
        parts and not path.startswith("/") and "\\" not in path and "\0" not in path and parts[0] != "run"
    )
    if not is_safe or any(part.startswith(".") for part in parts):
        raise UserError(
            f"{where} names a file outside of its directory: {path!r}", "Do not use what is at this URL"
        )


@dataclasses.dataclass(frozen=True)
class NeededShard:
    """A shard of a dataset that a selection reads."""

    dataset: Place
    tar: str
    """Below the dataset's directory: shards/<shard>.tar."""
    bytes: int
    digest: str
    """xxh3:HEX."""


def needed_shards(manifest: SelectionManifest, where: str) -> list[NeededShard]:
    """Return the shards that a selection reads, each once.

    Raises:
        UserError: one lies elsewhere than in a dataset of the same store.
    """
    found: dict[str, NeededShard] = {}
    for shard in (one for shards in manifest.splits.values() for one in shards):
        up, _, below = shard.tar.partition("../../")
        place = find_place("/".join(below.split("/")[:2]))
        tar = "/".join(below.split("/")[2:])
        if up or place is None or place.stage != "crops" or not re.fullmatch(r"shards/[^/.][^/]*\.tar", tar):
            message = f"{where} reads {shard.tar}, which is not in a dataset of the same store"
            raise UserError(message, "Make the datasets and the selection in one store")
        found[shard.tar] = NeededShard(place, tar, shard.tar_bytes, f"xxh3:{shard.tar_xxh3}")
    return list(found.values())


def read_selection(path: Path) -> SelectionManifest:
    """Return the content of a selection.json."""
    return from_plain(SelectionManifest, read_json(path), str(path))
