"""A shard: a tar of images with its DALI index, its manifest and the header that vouches for all three.

The tar is plain USTAR with zero times and owners, so equal samples give equal bytes. docs/formats.md has the layout.
Nothing here looks at pixels.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import xxhash

from data.atomic_files import atomic_file, jsonl_line, read_json, read_jsonl, write_bytes, write_json
from data.errors import UserError
from data.hashing import sha256_bytes, sha256_file
from data.record_json import from_plain, to_plain
from data.records import SCHEMA, CropRecord, Rejection, ShardHeader
from data.tar_members import BLOCK_BYTES, END_BYTES, member_header

_INDEX_VERSION = "v1.2"
_PLACE_FIELDS = ("shard", "offset", "bytes")
"""Fields of a CropRecord that say where it lies; left out of the copy that lies there too."""


@dataclasses.dataclass(frozen=True)
class ShardPaths:
    """Where the files of one shard stand."""

    directory: Path
    """The dataset's directory."""
    shard: str
    """The shard's name: train-000000."""

    @property
    def tar(self) -> Path:
        """The images."""
        return self.directory / "shards" / f"{self.shard}.tar"

    @property
    def index(self) -> Path:
        """The DALI index."""
        return self.directory / "index" / f"{self.shard}.idx"

    @property
    def manifest(self) -> Path:
        """One CropRecord a line, in tar order."""
        return self.directory / "manifest" / f"{self.shard}.jsonl"

    @property
    def rejections(self) -> Path:
        """One Rejection a line: what was thrown out while this shard was packed."""
        return self.directory / "manifest" / f"{self.shard}.rejections.jsonl"

    @property
    def header(self) -> Path:
        """The ShardHeader, written last."""
        return self.directory / "manifest" / f"{self.shard}.json"


def shard_name(split: str, number: int) -> str:
    """Return the name of shard `number` of a split."""
    return f"{split}-{number:06d}"


@dataclasses.dataclass(frozen=True)
class IndexLine:
    """One sample of a DALI index: its components in tar order."""

    components: tuple[tuple[str, int, int, str], ...]
    """Extension, offset of the first byte, size in bytes, member name."""

    @property
    def key(self) -> str:
        """The sample's key: its members' name without the extension."""
        return self.components[0][3].split(".", 1)[0]

    def text(self) -> str:
        """Return the line without its end."""
        return " ".join(
            f"{extension} {offset} {size} {name}" for extension, offset, size, name in self.components
        )


def index_bytes(lines: Iterable[IndexLine]) -> bytes:
    """Return a whole DALI webdataset index, version 1.2."""
    rows = [line.text() for line in lines]
    return "\n".join([f"{_INDEX_VERSION} {len(rows)}", *rows, ""]).encode()


def read_index(path: Path) -> list[IndexLine]:
    """Read a DALI index, version 1.2.

    Raises:
        UserError: another version, or a line that does not parse.
    """
    first, *rows = path.read_text().split("\n")
    version, _, count = first.partition(" ")
    # The last row is the empty one behind the final newline: without it the file was cut off.
    if version != _INDEX_VERSION or count != str(len(rows) - 1) or rows.pop():
        expected = f"a DALI index {_INDEX_VERSION} of as many whole lines as it says"
        raise UserError(expected, f"{first!r} and {len(rows)} lines", str(path), "make the dataset again")
    try:
        return [_parsed(row.split(" ")) for row in rows]
    except ValueError as error:
        raise UserError("lines of a DALI index", str(error), str(path), "make the dataset again") from None


def _parsed(words: list[str]) -> IndexLine:
    fields = zip(words[0::4], words[1::4], words[2::4], words[3::4], strict=True)
    return IndexLine(tuple((extension, int(at), int(size), name) for extension, at, size, name in fields))


def description(record: CropRecord) -> bytes:
    """Return what `<key>.json` holds beside the image: the record without its place."""
    return _without_place(to_plain(record))


def _without_place(plain: dict[str, Any]) -> bytes:
    return jsonl_line({name: value for name, value in plain.items() if name not in _PLACE_FIELDS})


class ShardWriter:
    """Append samples to a shard; use `open_shard`."""

    def __init__(self, tar: IO[bytes], shard: str, split: str, image_extension: str) -> None:
        self._tar, self._shard, self._split, self._extension = tar, shard, split, image_extension
        self._digest = xxhash.xxh3_128()
        self._offset = 0
        self.manifest: list[bytes] = []
        """The lines of the manifest so far."""
        self.lines: list[IndexLine] = []
        self.sources: set[str] = set()
        self.image_bytes = 0

    def add(self, record: CropRecord, image: bytes | memoryview) -> None:
        """Append one sample.

        Args:
            record: with any shard, offset, bytes and sha256: these are filled in here.
            image: the encoded image.
        """
        name, described_name = f"{record.key}.{self._extension}", f"{record.key}.json"
        at = self._member(name, image)
        placed = dataclasses.replace(
            record, shard=self._shard, offset=at, bytes=len(image), sha256=sha256_bytes(image)
        )
        plain = to_plain(placed)
        described = _without_place(plain)
        described_at = self._member(described_name, described)
        self.manifest.append(jsonl_line(plain))
        self.lines.append(
            IndexLine(
                (
                    (self._extension, at, len(image), name),
                    ("json", described_at, len(described), described_name),
                )
            )
        )
        self.image_bytes += len(image)
        self.sources.add(record.source)

    def _member(self, name: str, content: bytes | memoryview) -> int:
        """Write one member and return the offset of its first byte."""
        self._write(member_header(name, len(content)))
        offset = self._offset
        self._write(content)
        self._write(bytes(-len(content) % BLOCK_BYTES))
        return offset

    def _write(self, content: bytes | memoryview) -> None:
        self._tar.write(content)
        self._digest.update(content)
        self._offset += len(content)

    def finish(self) -> tuple[int, str]:
        """Write the end of the archive; return the tar's size in bytes and its XXH3 (128 bits)."""
        self._write(bytes(END_BYTES))
        return self._offset, self._digest.hexdigest()


@contextlib.contextmanager
def open_shard(
    paths: ShardPaths, split: str, image_extension: str, rejections: list[Rejection]
) -> Iterator[ShardWriter]:
    """Write one shard and everything beside it, the header last.

    Args:
        paths: where it will stand.
        split: train or validation.
        image_extension: png or jpg.
        rejections: filled by the block; stored beside the manifest.

    Raises:
        UserError: the tar was taken away before the header was written.
    """
    with atomic_file(paths.tar) as tar:
        writer = ShardWriter(tar, paths.shard, split, image_extension)
        yield writer
        tar_bytes, tar_xxh3 = writer.finish()
    index = index_bytes(writer.lines)
    manifest = b"".join(writer.manifest)
    thrown_out = b"".join(jsonl_line(to_plain(rejection)) for rejection in rejections)
    write_bytes(paths.index, index)
    write_bytes(paths.manifest, manifest)
    write_bytes(paths.rejections, thrown_out)
    header = ShardHeader(
        schema=SCHEMA,
        shard=paths.shard,
        split=split,
        samples=len(writer.lines),
        sources=len(writer.sources),
        image_bytes=writer.image_bytes,
        tar_bytes=tar_bytes,
        tar_xxh3=tar_xxh3,
        index_sha256=sha256_bytes(index),
        manifest_sha256=sha256_bytes(manifest),
        rejections_sha256=sha256_bytes(thrown_out),
    )
    # Where the directory was taken away meanwhile, the small files stand in a new one, without the images.
    check_size(paths.tar, tar_bytes)
    write_json(paths.header, to_plain(header))


def read_header(path: Path) -> ShardHeader:
    """Read a shard's header."""
    return from_plain(ShardHeader, read_json(path), str(path))


def read_records(paths: ShardPaths) -> Iterator[CropRecord]:
    """Yield a shard's crop records in tar order."""
    for value in read_jsonl(paths.manifest):
        yield from_plain(CropRecord, value, str(paths.manifest))


def read_rejections(path: Path) -> Iterator[Rejection]:
    """Yield the rejections of a .jsonl file in order."""
    for value in read_jsonl(path):
        yield from_plain(Rejection, value, str(path))


def check_size(path: Path, size_bytes: int) -> None:
    """Make sure that a file is there with the size that a record names, which costs nothing for a large one.

    Raises:
        UserError: it is missing or has another size.
    """
    _expect_file(path)
    _expect(path, f"{size_bytes} bytes", f"{path.stat().st_size} bytes")


def check_file(path: Path, digest: str, digest_of: Callable[[Path], str] = sha256_file) -> None:
    """Make sure that a file is the one that a record names.

    Args:
        path: the file.
        digest: of the bytes that it must have.
        digest_of: reads the file and returns its digest.

    Raises:
        UserError: it is missing or another one.
    """
    _expect_file(path)
    _expect(path, f"digest {digest}", f"digest {digest_of(path)}")


def _expect_file(path: Path) -> None:
    if not path.is_file():
        raise UserError("a file", "nothing", str(path), "run MakeCrops and SelectSamples again")


def _expect(path: Path, wanted: str, found: str) -> None:
    if found != wanted:
        raise UserError(wanted, found, str(path), "delete its dataset's directory and run MakeCrops again")


def read_image(tar: IO[bytes], line: IndexLine) -> bytes:
    """Return the encoded image of a sample of an open tar."""
    _, offset, size, _ = line.components[0]
    tar.seek(offset)
    return tar.read(size)
