"""Verify a finished crop dataset against its own records, and say by name what is damaged.

Three levels, each with all of the one before:

- `headers`: every file is there, with the size that the records say. The small files (headers, indexes, manifests,
  rejections, card, contact sheet: about a five-hundredth of the bytes) are read and hashed; of dataset.parquet only the
  number of its rows is read, of a tar the headers of its first and its last sample and its end. So it costs a few reads
  a shard whatever the shards weigh: seconds to a minute for a terabyte. It finds what is lost, cut off, mixed up or
  never reached the disk, but no changed bit within a tar or the parquet.
- `hashes`: every byte is read and held against its digest; in a tar that differs, the crops that differ are named.
- `full`: every image is decoded as well, and its size and key are held against the manifest; the DALI index is
  held against the tar, member by member.

Nothing here changes or removes a file: `pipeline/rebuild.py` mends.
"""

import contextlib
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

import pyarrow
import pyarrow.parquet

from data.atomic_files import read_json
from data.errors import UserError
from data.hashing import sha256_bytes, spec_hash, xxh3_file
from data.imaging.decode import ImageFault, decode, probe
from data.progress import Progress, silent
from data.records import CropRecord, Damage, DatasetManifest, ShardHeader
from data.shards import (
    IndexLine,
    ShardPaths,
    check_file,
    check_size,
    description,
    read_header,
    read_index,
    read_records,
)
from data.tar_members import END_BYTES, read_member_header, read_members
from pipeline import worker_pool
from pipeline.dataset import PARQUET, RECORD, read_manifest

LEVELS = ("headers", "hashes", "full")
_IMAGE_HEADER_BYTES = 4096
_FOLDERS = {"shards": (".tar",), "index": (".idx",), "manifest": (".json", ".jsonl", ".rejections.jsonl")}
"""Where the files of shards stand, and how their names end behind the shard's name."""


class _Findings:
    """The damage that was found in one shard, or beside them."""

    def __init__(self, directory: Path, shard: str = "") -> None:
        self.directory, self.shard = directory, shard
        self.damage: list[Damage] = []

    def add(self, path: Path, detail: str) -> None:
        """Note what is wrong with a file."""
        self.damage.append(Damage(self.shard, path.relative_to(self.directory).as_posix(), detail))

    @contextlib.contextmanager
    def of(self, path: Path) -> Iterator[None]:
        """Take what the block raises about a file for damage of that file; a disk's read error is damage too."""
        try:
            yield
        except UserError as error:
            self.add(path, error.message)
        except OSError as error:
            self.add(path, error.strerror or str(error))
        except ImageFault as fault:
            self.add(path, str(fault))
        except (ValueError, tarfile.TarError, pyarrow.ArrowException) as error:
            self.add(path, str(error))


def find_headers(directory: Path) -> tuple[DatasetManifest | None, list[ShardHeader], list[Damage]]:
    """Find out what the shards of a dataset must be.

    Returns:
        The manifest, and the shards' headers as it has them; or, where dataset.json can't be read, no manifest, the
        headers that stand beside the shards, and what can't be read.

    Raises:
        UserError: there is no dataset, finished or not.
    """
    findings = _Findings(directory)
    with findings.of(directory / RECORD):
        manifest = read_manifest(directory)
        return manifest, list(manifest.shards), []
    headers = []
    for path in sorted((directory / "manifest").glob("[!.]*.json")):
        with findings.of(path):
            headers.append(read_header(path))
    if not headers:
        raise UserError("a crop dataset", "none", str(directory), "make it with MakeCrops")
    return None, headers, findings.damage


def verify_dataset(
    directory: Path,
    level: str,
    *,
    closely: Collection[str] | None = None,
    processes: int = 1,
    progress: Progress = silent,
) -> list[Damage]:
    """Look a whole dataset through.

    Args:
        directory: of the dataset.
        level: one of LEVELS.
        closely: the shards that are looked at to this level, the others only to the first; None: all.
        processes: shards that are read at once; not threads, as the decoders hold Python's lock.
        progress: called with shards.

    Returns:
        Everything that is not as it was written; empty for a sound dataset.

    Raises:
        UserError: there is no dataset.
    """
    manifest, headers, damage = find_headers(directory)
    if manifest:
        damage += _verify_sides(directory, manifest, level)
    damage += _find_strays(directory, {header.shard for header in headers})
    side_px = manifest.crop_size_px if manifest else None

    def look(header: ShardHeader) -> Iterator[tuple[Damage, None]]:
        depth = level if closely is None or header.shard in closely else LEVELS[0]
        return ((found, None) for found in verify_shard(directory, header, depth, side_px))

    for done, found in enumerate(worker_pool.in_order(look, headers, processes, largest_bytes=0), 1):
        damage += [one for one, _ in found]
        progress(done, len(headers))
    return damage


def verify_shard(
    directory: Path, header: ShardHeader, level: str, side_px: int | None = None
) -> list[Damage]:
    """Look one shard through.

    Args:
        directory: of the dataset.
        header: what the shard must be.
        level: one of LEVELS.
        side_px: of its images; None: as each crop's record says.
    """
    paths, findings = ShardPaths(directory, header.shard), _Findings(directory, header.shard)
    with findings.of(paths.header):
        if read_header(paths.header) != header:
            raise UserError("the header that dataset.json has", "another one", str(paths.header), "mend it")
    for path, sha256 in (
        (paths.index, header.index_sha256),
        (paths.manifest, header.manifest_sha256),
        (paths.rejections, header.rejections_sha256),
    ):
        with findings.of(path):
            check_file(path, sha256)
    of_tar = _Findings(directory, header.shard)
    with of_tar.of(paths.tar):
        check_size(paths.tar, header.tar_bytes)
        if level != "headers":
            check_file(paths.tar, header.tar_xxh3, xxh3_file)
    # What is in the tar can be told only by an index and a manifest that are sound themselves.
    if paths.tar.is_file() and not findings.damage:
        named = _Findings(directory, header.shard)
        with named.of(paths.tar), open(paths.tar, "rb") as tar:
            samples = list(zip(read_index(paths.index), read_records(paths), strict=True))
            if not of_tar.damage:
                _check_ends(tar, samples, header.tar_bytes)
            if of_tar.damage or level == "full":
                _check_samples(tar, samples, named, side_px, decoded=level == "full")
                _check_members(tar, [line for line, _ in samples])
        of_tar.damage += named.damage
    return findings.damage + of_tar.damage


def _check_ends(tar: IO[bytes], samples: list[tuple[IndexLine, CropRecord]], tar_bytes: int) -> None:
    """Read the headers of the first and the last sample and the end of a tar."""
    for line, record in samples[:1] + samples[-1:]:
        for _, offset, size, name in line.components:
            if read_member_header(tar, offset) != (name, size):
                raise ValueError(f"no member {name} of {size} bytes where the index has one")
        tar.seek(record.offset)
        header = probe(tar.read(min(record.bytes, _IMAGE_HEADER_BYTES)))
        _check_size(record, header.height, header.width, None)
    tar.seek(tar_bytes - END_BYTES)
    if tar.read() != bytes(END_BYTES):
        raise ValueError("does not end as a tar does")


def _check_members(tar: IO[bytes], lines: list[IndexLine]) -> None:
    """Hold the members of a tar against its index, one by one."""
    expected = [component[1:] for line in lines for component in line.components]
    expected = [(name, offset, size) for offset, size, name in expected]
    found = list(read_members(tar))
    for wanted, got in zip(expected, found, strict=False):
        if wanted != got:
            raise ValueError(
                f"has {got[0]} ({got[2]} bytes at {got[1]}) where the index has "
                f"{wanted[0]} ({wanted[2]} bytes at {wanted[1]})"
            )
    if len(found) != len(expected):
        raise ValueError(f"{len(found)} members can be read; the index has {len(expected)}")


def _check_samples(
    tar: IO[bytes],
    samples: list[tuple[IndexLine, CropRecord]],
    findings: _Findings,
    side_px: int | None,
    *,
    decoded: bool,
) -> None:
    """Hold every sample against its record, and note each that differs."""
    path = ShardPaths(findings.directory, findings.shard).tar
    for line, record in samples:
        try:
            _check_sample(tar, line, record, side_px, decoded=decoded)
        except (ValueError, ImageFault) as error:
            findings.add(path, f"crop {record.key}: {error}")


def _check_sample(
    tar: IO[bytes], line: IndexLine, record: CropRecord, side_px: int | None, *, decoded: bool
) -> None:
    (_, offset, size, _), (_, described_at, described_bytes, _) = line.components
    if (line.key, offset, size) != (record.key, record.offset, record.bytes):
        raise ValueError(f"the index has {line.key}, {size} bytes at {offset}")
    tar.seek(offset)
    content = tar.read(size)
    if sha256_bytes(content) != record.sha256:
        raise ValueError("not the image that was written (sha256)")
    tar.seek(described_at)
    if tar.read(described_bytes) != description(record):
        raise ValueError("its .json is not its record")
    if decoded:
        height, width, _ = decode(content).shape
        _check_size(record, height, width, side_px)


def _check_size(record: CropRecord, height: int, width: int, side_px: int | None) -> None:
    expected = (side_px, side_px) if side_px else (record.box.height, record.box.width)
    if (height, width) != expected or (record.box.height, record.box.width) != expected:
        raise ValueError(f"{width}x{height} pixels; {expected[1]}x{expected[0]} were written")


def _verify_sides(directory: Path, manifest: DatasetManifest, level: str) -> list[Damage]:
    """Look through what stands beside the shards: little but for the parquet, so all else is read at every level."""
    findings = _Findings(directory)
    with findings.of(directory / RECORD):
        counted = [manifest.totals["crops"], manifest.totals["bytes"]]
        sums = [
            sum(one.samples for one in manifest.shards),
            sum(one.image_bytes for one in manifest.shards),
        ]
        if counted != sums:
            raise ValueError(f"crops and bytes {counted} in totals, {sums} in its shards")
    with findings.of(directory / "spec.json"):
        found = spec_hash(read_json(directory / "spec.json"))
        if found != manifest.spec_hash:
            raise ValueError(f"hash {found}; dataset.json has {manifest.spec_hash}")
    for name, sha256 in manifest.sides.items():
        with findings.of(directory / name):
            if name == PARQUET and level == LEVELS[0]:
                rows = pyarrow.parquet.read_metadata(directory / name).num_rows
                if rows != manifest.totals["crops"]:
                    raise ValueError(f"{rows} rows; dataset.json has {manifest.totals['crops']} crops")
            else:
                check_file(directory / name, sha256)
    return findings.damage


def _find_strays(directory: Path, shards: set[str]) -> list[Damage]:
    """Find files where the shards are that belong to none: other programs would take them for a part."""
    findings = _Findings(directory)
    for folder, ends in _FOLDERS.items():
        expected = {shard + end for shard in shards for end in ends}
        for path in sorted((directory / folder).glob("[!.]*")):
            if path.name not in expected:
                findings.add(path, "belongs to no shard of this dataset; move it elsewhere")
    return findings.damage
