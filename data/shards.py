"""Read and write shards: a tar of encoded images with its DALI index, its manifest and its header.

The tar is plain USTAR with zero times and owners, so equal samples give equal bytes. docs/reference/formats.md
documents the layout. Nothing here looks at pixels.
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import xxhash

from data.atomic_files import (
    atomic_file,
    jsonl_line,
    place_unless_same,
    read_json,
    read_jsonl,
    write_bytes,
    write_json,
)
from data.dali_index import IndexComponent, IndexLine, encode_index
from data.errors import UserError
from data.hashing import sha256_bytes, sha256_file
from data.mounts import refresh_names
from data.record_json import from_plain, to_plain
from data.records import SCHEMA, CropRecord, ImageWarning, Rejection, ShardHeader
from data.shard_warnings import write_warnings
from data.tar_members import BLOCK_BYTES, END_BYTES, member_header

_LOCATION_FIELDS = ("shard", "offset", "bytes")
"""Fields of a CropRecord that say where the crop is stored. The `<key>.json` beside the crop leaves them out."""
_SHARD_NAME = re.compile(r"[a-z]{1,32}-[0-9]{6}")


@dataclasses.dataclass(frozen=True)
class ShardPaths:
    """The paths of the files of one shard."""

    directory: Path
    """The dataset's directory."""
    shard: str
    """Name of the shard: train-000000."""

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
        """One CropRecord per line, in tar order."""
        return self.directory / "manifest" / f"{self.shard}.jsonl"

    @property
    def rejections(self) -> Path:
        """One Rejection per line: the crops rejected while this shard was packed."""
        return self.directory / "manifest" / f"{self.shard}.rejections.jsonl"

    @property
    def warnings(self) -> Path:
        """One ImageWarning per line: about the images of this shard. Missing if there is none."""
        return self.directory / "manifest" / f"{self.shard}.warnings.jsonl"

    @property
    def header(self) -> Path:
        """The ShardHeader, which is written last."""
        return self.directory / "manifest" / f"{self.shard}.json"


def shard_name(split: str, number: int) -> str:
    """Return the name of shard `number` of a split."""
    return f"{split}-{number:06d}"


def is_shard_name(text: str) -> bool:
    """Return whether a text has the form of a shard's name; such a text is never a path to elsewhere."""
    return _SHARD_NAME.fullmatch(text) is not None


def encode_sample_json(record: CropRecord) -> bytes:
    """Encode the `<key>.json` beside an image: its record without the fields that say where it is stored."""
    return _encode_without_location(to_plain(record))


def _encode_without_location(plain: dict[str, Any]) -> bytes:
    return jsonl_line({name: value for name, value in plain.items() if name not in _LOCATION_FIELDS})


class ShardWriter:
    """Appends samples to a shard. Made by `open_shard`."""

    def __init__(self, tar: IO[bytes], shard: str, split: str, image_extension: str) -> None:
        self._tar, self._shard, self._extension = tar, shard, image_extension
        self.split = split
        self._digest = xxhash.xxh3_128()
        self._offset = 0
        self.manifest: list[bytes] = []
        """The lines of the manifest."""
        self.lines: list[IndexLine] = []
        """The lines of the DALI index."""
        self.sources: set[str] = set()
        """The ids of the source images."""
        self.image_bytes = 0
        """Size of all encoded images together."""

    def add(self, record: CropRecord, image: bytes | memoryview) -> None:
        """Append one sample.

        Args:
            record: the crop's record; its shard, offset, bytes and sha256 are filled in here.
            image: the encoded image.
        """
        image_name, json_name = f"{record.key}.{self._extension}", f"{record.key}.json"
        offset = self._write_member(image_name, image)
        stored = dataclasses.replace(
            record, shard=self._shard, offset=offset, bytes=len(image), sha256=sha256_bytes(image)
        )
        plain = to_plain(stored)
        sample_json = _encode_without_location(plain)
        json_offset = self._write_member(json_name, sample_json)
        self.manifest.append(jsonl_line(plain))
        image_component = IndexComponent(self._extension, offset, len(image), image_name)
        json_component = IndexComponent("json", json_offset, len(sample_json), json_name)
        self.lines.append(IndexLine((image_component, json_component)))
        self.image_bytes += len(image)
        self.sources.add(record.source)

    def _write_member(self, name: str, content: bytes | memoryview) -> int:
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
        """Write the end of the tar; return its size in bytes and its 128-bit XXH3."""
        self._write(bytes(END_BYTES))
        return self._offset, self._digest.hexdigest()


@contextlib.contextmanager
def open_shard(
    paths: ShardPaths,
    split: str,
    image_extension: str,
    rejections: list[Rejection],
    warnings: Sequence[ImageWarning] = (),
) -> Iterator[ShardWriter]:
    """Write one shard and its index, manifest, rejections, warnings and header, the header last.

    Nothing appears at the shard's paths if the block raises. A shard that another host has finished in the meantime
    stays as it is, file by file.

    Args:
        paths: the files to write.
        split: train or validation.
        image_extension: png or jpg.
        rejections, warnings: filled by the block; written beside the manifest.

    Raises:
        UserError: the tar was removed before the header was written.
    """
    is_finished = False

    def place(part: Path, tar: Path) -> None:
        nonlocal is_finished
        refresh_names(paths.header.parent)
        is_finished = paths.header.exists()
        # Without locks between hosts, another host may have removed the part as an orphan's: it is of no use any more.
        part.unlink(missing_ok=True) if is_finished else place_unless_same(part, tar)

    with atomic_file(paths.tar, place=place) as tar:
        writer = ShardWriter(tar, paths.shard, split, image_extension)
        yield writer
        tar_bytes, tar_xxh3 = writer.finish()
    try:
        if not is_finished:
            _write_beside_tar(paths, writer, rejections, warnings, tar_bytes, tar_xxh3)
    except FileNotFoundError:
        if not paths.header.exists():
            raise


def _write_beside_tar(
    paths: ShardPaths,
    writer: ShardWriter,
    rejections: list[Rejection],
    warnings: Sequence[ImageWarning],
    tar_bytes: int,
    tar_xxh3: str,
) -> None:
    """Write the other files of a shard, the header last."""
    header = ShardHeader(
        schema=SCHEMA,
        shard=paths.shard,
        split=writer.split,
        samples=len(writer.lines),
        sources=len(writer.sources),
        image_bytes=writer.image_bytes,
        tar_bytes=tar_bytes,
        tar_xxh3=tar_xxh3,
        **_write_small_files(paths, writer, rejections, warnings),
    )
    # If the directory was removed meanwhile, the small files are now in a new one, without the tar.
    check_size(paths.tar, tar_bytes)
    write_json(paths.header, to_plain(header))


def _write_small_files(
    paths: ShardPaths, writer: ShardWriter, rejections: list[Rejection], warnings: Sequence[ImageWarning]
) -> dict[str, Any]:
    """Write what stands beside the tar; return the fields of the header that describe it."""
    lines = b"".join(jsonl_line(to_plain(rejection)) for rejection in rejections)
    files = {"index": encode_index(writer.lines), "manifest": b"".join(writer.manifest), "rejections": lines}
    for name, content in files.items():
        write_bytes(getattr(paths, name), content)
    hashes = {f"{name}_sha256": sha256_bytes(content) for name, content in files.items()}
    return hashes | write_warnings(paths.warnings, warnings)


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
    """Check that a file exists and has the size that a record names. Cheap for large files.

    Raises:
        UserError: the file is missing or has another size.
    """
    _require_file(path)
    _require_equal(path, f"{path.stat().st_size} bytes", f"{size_bytes} bytes")


def check_file(path: Path, digest: str, digest_of: Callable[[Path], str] = sha256_file) -> None:
    """Check that a file exists and has the digest that a record names.

    Args:
        path: the file.
        digest: the expected digest, as hex digits.
        digest_of: reads the file and returns its digest.

    Raises:
        UserError: the file is missing or has another digest.
    """
    _require_file(path)
    _require_equal(path, f"digest {digest_of(path)}", f"digest {digest}")


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path} is missing", "Run MakeCrops and SelectSamples again")


def _require_equal(path: Path, found: str, recorded: str) -> None:
    if found != recorded:
        message = f"{path} is damaged or was replaced: it has {found}, but its record says {recorded}"
        raise UserError(message, "Delete the directory of its dataset and run MakeCrops again")


def read_image(tar: IO[bytes], line: IndexLine) -> bytes:
    """Return the encoded image of one sample from the open tar of its shard, by its line in the shard's index."""
    image = line.components[0]
    tar.seek(image.offset)
    return tar.read(image.size)
