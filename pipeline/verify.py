"""Verify a finished crop dataset against its own records, and name what is damaged.

There are three levels. Each includes the ones before it.

- `headers`: every file exists and has the recorded size. The small files (headers, indexes, manifests, rejections,
  card, contact sheet: about 0.2% of the bytes) are read and hashed. Of dataset.parquet only the number of rows is read;
  of a tar, the headers of its first and last sample, and its end. This costs a few reads for each shard, whatever the
  shard's size: seconds to a minute for a terabyte. It finds lost, truncated and mixed-up files, and files that never
  reached the disk, but no changed bit within a tar or the parquet file.
- `hashes`: every byte is read and hashed. In a tar whose hash differs, the damaged crops are named.
- `full`: every image is decoded too, its size and key are compared with the manifest, and the DALI index is compared
  with the tar, member by member.

Nothing here changes or removes a file; `pipeline/rebuild.py` does the repair.
"""

import contextlib
import errno
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

import pyarrow
import pyarrow.parquet

from data.atomic_files import read_json
from data.dali_index import IndexLine, read_index
from data.errors import UserError
from data.hashing import sha256_bytes, spec_hash, xxh3_file
from data.imaging.decode import ImageFault, decode, probe
from data.progress import Progress, silent
from data.records import CropRecord, DatasetManifest, ShardHeader
from data.shards import ShardPaths, check_file, check_size, encode_sample_json, read_header, read_records
from data.tar_members import END_BYTES, read_member_header, read_members
from pipeline import worker_pool
from pipeline.dataset import PARQUET, RECORD, read_manifest
from pipeline.verify_records import Damage

LEVELS = ("headers", "hashes", "full")
_IMAGE_HEADER_BYTES = 4096
_FOLDERS = {
    "shards": (".tar",),
    "index": (".idx",),
    "manifest": (".json", ".jsonl", ".rejections.jsonl", ".warnings.jsonl"),
}
"""Folders with the files of shards, and the endings of these files after the shard's name."""


class _Findings:
    """Collect the damage found in one shard, or in the files beside the shards."""

    def __init__(self, directory: Path, shard: str = "") -> None:
        self.directory, self.shard = directory, shard
        self.damage: list[Damage] = []

    def add(self, path: Path, detail: str) -> None:
        """Add a damaged file."""
        self.damage.append(Damage(self.shard, path.relative_to(self.directory).as_posix(), detail))

    @contextlib.contextmanager
    def catch(self, path: Path) -> Iterator[None]:
        """Turn errors that the block raises about a file into damage. A read error of the disk is damage too."""
        try:
            yield
        except MemoryError:  # pyarrow's is an ArrowException too
            raise
        except UserError as error:
            self.add(path, error.message)
        except OSError as error:
            if error.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE):
                raise
            self.add(path, error.strerror or str(error))
        except (ImageFault, ValueError, tarfile.TarError, pyarrow.ArrowException) as error:
            self.add(path, str(error))


def read_shard_headers(directory: Path) -> tuple[DatasetManifest | None, list[ShardHeader], list[Damage]]:
    """Read the expected header of every shard of a dataset.

    Returns:
        The manifest, the headers of the shards, and damage. If dataset.json can't be read, the manifest is None, the
        headers are those in the manifest/ folder, and the damage lists what can't be read.

    Raises:
        UserError: there is no dataset, finished or not.
    """
    findings = _Findings(directory)
    with findings.catch(directory / RECORD):
        manifest = read_manifest(directory)
    if not findings.damage:
        return manifest, list(manifest.shards), []
    headers = []
    for path in sorted((directory / "manifest").glob("[!.]*.json")):
        with findings.catch(path):
            headers.append(read_header(path))
    if not headers:
        raise UserError(f"There is no crop dataset in {directory}", "Make it with MakeCrops")
    return None, headers, findings.damage


def verify_dataset(
    directory: Path,
    level: str,
    *,
    deep_shards: Collection[str] | None = None,
    processes: int = 1,
    progress: Progress = silent,
) -> list[Damage]:
    """Verify a whole dataset.

    Args:
        directory: directory of the dataset.
        level: one of LEVELS.
        deep_shards: names of the shards to verify at `level`; the others are verified at the first level. None: all.
        processes: number of shards to verify at once. Not threads, since the decoders hold Python's interpreter lock.
        progress: called with the number of shards.

    Returns:
        All damage; empty for a sound dataset.

    Raises:
        UserError: there is no dataset.
    """
    manifest, headers, damage = read_shard_headers(directory)
    if manifest:
        damage += _verify_other_files(directory, manifest, level)
    damage += _find_strays(directory, {header.shard for header in headers})
    side_px = manifest.crop_size_px if manifest else None

    def verify(header: ShardHeader) -> Iterator[tuple[Damage, None]]:
        depth = level if deep_shards is None or header.shard in deep_shards else LEVELS[0]
        return ((found, None) for found in verify_shard(directory, header, depth, side_px))

    for done, found in enumerate(worker_pool.map_in_order(verify, headers, processes, largest_bytes=0), 1):
        damage += [one for one, _ in found]
        progress(done, len(headers))
    return damage


def verify_shard(
    directory: Path, header: ShardHeader, level: str, side_px: int | None = None
) -> list[Damage]:
    """Verify one shard.

    Args:
        directory: directory of the dataset.
        header: the expected header of the shard.
        level: one of LEVELS.
        side_px: side of the images; None: as each crop's record says.
    """
    paths = ShardPaths(directory, header.shard)
    small_files = _verify_small_files(paths, header)
    tar_findings = _Findings(directory, header.shard)
    with tar_findings.catch(paths.tar):
        check_size(paths.tar, header.tar_bytes)
        if level != "headers":
            check_file(paths.tar, header.tar_xxh3, xxh3_file)
    damage = small_files + tar_findings.damage
    # Only an index and a manifest that are sound themselves can say what the tar should contain.
    if paths.tar.is_file() and not small_files:
        damage += _verify_samples(paths, header, level, side_px, is_damaged=bool(tar_findings.damage))
    return damage


def _verify_small_files(paths: ShardPaths, header: ShardHeader) -> list[Damage]:
    findings = _Findings(paths.directory, header.shard)
    with findings.catch(paths.header):
        if read_header(paths.header) != header:
            raise ValueError("differs from the header in dataset.json")
    for path, sha256 in (
        (paths.index, header.index_sha256),
        (paths.manifest, header.manifest_sha256),
        (paths.rejections, header.rejections_sha256),
        *([(paths.warnings, header.warnings_sha256)] if header.warnings else []),
    ):
        with findings.catch(path):
            check_file(path, sha256)
    return findings.damage


def _verify_samples(
    paths: ShardPaths, header: ShardHeader, level: str, side_px: int | None, *, is_damaged: bool
) -> list[Damage]:
    """Compare the samples of a tar with its index and manifest: all of them, or the first and last of a sound tar."""
    findings = _Findings(paths.directory, header.shard)
    with findings.catch(paths.tar), open(paths.tar, "rb") as tar:
        samples = list(zip(read_index(paths.index), read_records(paths), strict=True))
        if not is_damaged:
            _check_ends(tar, samples, header.tar_bytes)
        if is_damaged or level == "full":
            _check_samples(tar, samples, findings, side_px, decoded=level == "full")
            _check_members(tar, [line for line, _ in samples])
    return findings.damage


def _check_ends(tar: IO[bytes], samples: list[tuple[IndexLine, CropRecord]], tar_bytes: int) -> None:
    """Read the headers of the first and the last sample, and the end of a tar."""
    for line, record in samples[:1] + samples[-1:]:
        for _, offset, size, name in line.components:
            if read_member_header(tar, offset) != (name, size):
                raise ValueError(f"no member {name} of {size} bytes where the index has one")
        tar.seek(record.offset)
        header = probe(tar.read(min(record.bytes, _IMAGE_HEADER_BYTES)))
        _check_image_size(record, header.height, header.width, None)
    tar.seek(tar_bytes - END_BYTES)
    if tar.read() != bytes(END_BYTES):
        raise ValueError("does not end like a tar")


def _check_members(tar: IO[bytes], lines: list[IndexLine]) -> None:
    """Compare the members of a tar with its index, one by one."""
    expected = [(name, offset, size) for line in lines for _, offset, size, name in line.components]
    found = list(read_members(tar))
    for wanted, got in zip(expected, found, strict=False):
        if wanted != got:
            raise ValueError(
                f"has {got[0]} ({got[2]} bytes at {got[1]}) where the index has "
                f"{wanted[0]} ({wanted[2]} bytes at {wanted[1]})"
            )
    if len(found) != len(expected):
        raise ValueError(f"{len(found)} members can be read, but the index has {len(expected)}")


def _check_samples(
    tar: IO[bytes],
    samples: list[tuple[IndexLine, CropRecord]],
    findings: _Findings,
    side_px: int | None,
    *,
    decoded: bool,
) -> None:
    """Compare every sample with its record, and add each one that differs to the findings."""
    path = ShardPaths(findings.directory, findings.shard).tar
    for line, record in samples:
        try:
            _check_sample(tar, line, record, side_px, decoded=decoded)
        except (ValueError, ImageFault) as error:
            findings.add(path, f"crop {record.key}: {error}")


def _check_sample(
    tar: IO[bytes], line: IndexLine, record: CropRecord, side_px: int | None, *, decoded: bool
) -> None:
    (_, offset, size, _), (_, description_at, description_bytes, _) = line.components
    if (line.key, offset, size) != (record.key, record.offset, record.bytes):
        raise ValueError(f"the index has {line.key}, {size} bytes at {offset}")
    tar.seek(offset)
    content = tar.read(size)
    if sha256_bytes(content) != record.sha256:
        raise ValueError("the image differs from its sha256")
    tar.seek(description_at)
    if tar.read(description_bytes) != encode_sample_json(record):
        raise ValueError("its .json differs from its record")
    if decoded:
        height, width, _ = decode(content).shape
        _check_image_size(record, height, width, side_px)


def _check_image_size(record: CropRecord, height: int, width: int, side_px: int | None) -> None:
    expected = (side_px, side_px) if side_px else (record.box.height, record.box.width)
    if (height, width) != expected or (record.box.height, record.box.width) != expected:
        raise ValueError(f"{width}x{height} pixels, but it was written with {expected[1]}x{expected[0]}")


def _verify_other_files(directory: Path, manifest: DatasetManifest, level: str) -> list[Damage]:
    """Verify the files beside the shards. All but the parquet file are small, so they are read at every level."""
    findings = _Findings(directory)
    with findings.catch(directory / RECORD):
        totals = [manifest.totals["crops"], manifest.totals["bytes"]]
        sums = [
            sum(one.samples for one in manifest.shards),
            sum(one.image_bytes for one in manifest.shards),
        ]
        if totals != sums:
            raise ValueError(f"totals has crops and bytes {totals}, but the shards add up to {sums}")
    with findings.catch(directory / "spec.json"):
        found = spec_hash(read_json(directory / "spec.json"))
        if found != manifest.spec_hash:
            raise ValueError(f"its hash is {found}, but dataset.json has {manifest.spec_hash}")
    for name, sha256 in manifest.file_sha256.items():
        with findings.catch(directory / name):
            if name == PARQUET and level == LEVELS[0]:
                with open(directory / name, "rb") as file:  # pyarrow opens no path that is not UTF-8
                    rows = pyarrow.parquet.read_metadata(file).num_rows
                if rows != manifest.totals["crops"]:
                    raise ValueError(f"{rows} rows, but dataset.json has {manifest.totals['crops']} crops")
            else:
                check_file(directory / name, sha256)
    return findings.damage


def _find_strays(directory: Path, shards: set[str]) -> list[Damage]:
    """Find files in the shards' folders that belong to no shard: other programs would read them as part of it."""
    findings = _Findings(directory)
    for folder, endings in _FOLDERS.items():
        expected = {shard + ending for shard in shards for ending in endings}
        for path in sorted((directory / folder).glob("[!.]*")):
            if path.name not in expected:
                findings.add(path, "belongs to no shard of this dataset; move it elsewhere")
    return findings.damage
