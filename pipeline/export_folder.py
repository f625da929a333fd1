"""Write a crop dataset as plain files, with the lists that other trainers read.

Every image is a copy, byte for byte: no link can point into a tar. The images of a shard stand in a folder of
their own, which appears whole or not at all, so that a killed export goes on with the shards that are missing.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.atomic_files import atomic_directory, atomic_file, write_json
from data.errors import UserError
from data.hashing import sha256_bytes
from data.progress import Progress, silent
from data.record_json import to_plain
from data.records import SCHEMA, CropRecord, FolderManifest, ShardHeader
from data.shards import ShardPaths, read_records
from pipeline.dataset import read_manifest

RECORD = "folder.json"


def export_folder(
    dataset: Path, out_dir: Path, *, spec_hash: str, threads: int = 1, progress: Progress = silent
) -> None:
    """Write `<split>/<shard number>/<key>.<png|jpg>`, the lists and, last, folder.json.

    Args:
        dataset: directory of a finished crop dataset.
        out_dir: where the folders go; shards that are there already are kept.
        spec_hash: of the export.
        threads: shards that are copied at once.
        progress: called with crops.

    Raises:
        UserError: the disk has no room, or an image in a shard is not the one of its record.
    """
    manifest = read_manifest(dataset)
    out_dir.mkdir(parents=True, exist_ok=True)
    missing = [header for header in manifest.shards if not _folder(out_dir, header).exists()]
    _make_sure_of_room(out_dir, sum(header.image_bytes for header in missing))
    done = sum(header.samples for header in manifest.shards) - sum(header.samples for header in missing)
    progress(done, manifest.totals["crops"])

    def copy(header: ShardHeader) -> int:
        _copy_shard(ShardPaths(dataset, header.shard), _folder(out_dir, header), manifest.image_extension)
        return header.samples

    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for samples in pool.map(copy, missing):
                done += samples
                progress(done, manifest.totals["crops"])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    splits = {}
    for split in sorted({header.split for header in manifest.shards}):
        of_split = [header for header in manifest.shards if header.split == split]
        splits[split] = _write_lists(dataset, out_dir, split, of_split, manifest.image_extension)
    record = FolderManifest(
        schema=SCHEMA,
        spec_hash=spec_hash,
        name=manifest.name,
        crop_size_px=manifest.crop_size_px,
        image_extension=manifest.image_extension,
        crops=splits,
        bytes=manifest.totals["bytes"],
    )
    write_json(out_dir / RECORD, to_plain(record))


def file_list(out_dir: Path, split: str) -> Path:
    """Return the path of a split's list for DALI's `fn.readers.file`: `<path below the split> <number of the line>`."""
    return out_dir / "file_list" / f"{split}.txt"


def meta_info(out_dir: Path, split: str) -> Path:
    """Return the path of a split's list for BasicSR: `<path below the split> (<height>,<width>,<channels>)`."""
    return out_dir / "meta_info" / f"{split}.txt"


def _folder(out_dir: Path, header: ShardHeader) -> Path:
    return out_dir / header.split / header.shard.rpartition("-")[2]


def _make_sure_of_room(out_dir: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(out_dir).free
    if free_bytes < needed_bytes:
        raise UserError(
            f"room for {needed_bytes / 1e9:.2f} GB of copies",
            f"{free_bytes / 1e9:.2f} GB",
            str(out_dir),
            "make room, or give another disk with --store-root DIR",
        )


def _copy_shard(paths: ShardPaths, folder: Path, extension: str) -> None:
    with atomic_directory(folder) as part, open(paths.tar, "rb") as tar:
        for record in read_records(paths):
            tar.seek(record.offset)
            content = tar.read(record.bytes)
            if sha256_bytes(content) != record.sha256:
                raise UserError(
                    f"the image of crop {record.key}",
                    "other bytes (sha256)",
                    str(paths.tar),
                    "mend the dataset with VerifyDataset --rebuild",
                )
            (part / f"{record.key}.{extension}").write_bytes(content)


def _write_lists(dataset: Path, out_dir: Path, split: str, headers: list[ShardHeader], extension: str) -> int:
    """Write both lists of a split, in the order of the shards; return how many images they name."""
    count = 0
    with atomic_file(file_list(out_dir, split)) as plain, atomic_file(meta_info(out_dir, split)) as sized:
        for count, (name, record) in enumerate(_named(dataset, headers, extension), 1):
            plain.write(f"{name} {count - 1}\n".encode())
            sized.write(f"{name} ({record.box.height},{record.box.width},3)\n".encode())
    return count


def _named(dataset: Path, headers: list[ShardHeader], extension: str) -> Iterator[tuple[str, CropRecord]]:
    for header in headers:
        for record in read_records(ShardPaths(dataset, header.shard)):
            yield f"{header.shard.rpartition('-')[2]}/{record.key}.{extension}", record
