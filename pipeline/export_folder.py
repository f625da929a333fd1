"""Export a crop dataset as plain image files, with the file lists that other trainers read.

Every image is a byte-for-byte copy, since no link can point into a tar. The images of a shard are written to a folder
of their own, which appears complete or not at all, so a killed export continues with the missing shards.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.atomic_files import atomic_directory, atomic_file, write_json
from data.disk_space import require_free_space
from data.errors import UserError
from data.hashing import sha256_bytes
from data.held_folders import make_folder
from data.progress import Progress, silent
from data.record_json import to_plain
from data.records import SCHEMA, CropRecord, DatasetManifest, ShardHeader
from data.shards import ShardPaths, read_records
from pipeline.dataset import read_manifest

RECORD = "folder.json"


@dataclasses.dataclass(frozen=True)
class FolderManifest:
    """folder.json: a crop dataset as plain files."""

    schema: int
    spec_hash: str
    name: str
    """Name of the dataset."""
    crop_size_px: int
    image_extension: str
    """png or jpg."""
    crops: dict[str, int]
    """Number of images in the folder and in the lists of each split."""
    bytes: int
    """Size of all images together."""


def export_folder(
    dataset: Path, out_dir: Path, *, spec_hash: str, threads: int = 1, progress: Progress = silent
) -> None:
    """Write `<split>/<shard number>/<key>.<png|jpg>`, the file lists and, last, folder.json.

    Args:
        dataset: directory of a finished crop dataset.
        out_dir: directory of the export; shards that it already has are kept.
        spec_hash: hash of the export's specification.
        threads: number of shards to copy at once.
        progress: called with the number of crops.

    Raises:
        UserError: the disk has too little free space, or an image in a shard differs from its record.
    """
    manifest = read_manifest(dataset)
    make_folder(out_dir)
    missing = [header for header in manifest.shards if not _folder(out_dir, header).exists()]
    image_bytes = sum(header.image_bytes for header in missing)
    require_free_space(out_dir, image_bytes, f"The export of {manifest.name}")
    _copy_shards(dataset, out_dir, manifest, missing, threads, progress)
    record = FolderManifest(
        schema=SCHEMA,
        spec_hash=spec_hash,
        name=manifest.name,
        crop_size_px=manifest.crop_size_px,
        image_extension=manifest.image_extension,
        crops={
            split: _write_lists(dataset, out_dir, split, manifest)
            for split in sorted({header.split for header in manifest.shards})
        },
        bytes=manifest.totals["bytes"],
    )
    write_json(out_dir / RECORD, to_plain(record))


def file_list_path(out_dir: Path, split: str) -> Path:
    """Return the path of a split's list for DALI's `fn.readers.file`: `<path in the split's folder> <line number>`."""
    return out_dir / "file_list" / f"{split}.txt"


def meta_info_path(out_dir: Path, split: str) -> Path:
    """Return the path of a split's list for BasicSR: `<path in the split's folder> (<height>,<width>,<channels>)`."""
    return out_dir / "meta_info" / f"{split}.txt"


def _folder(out_dir: Path, header: ShardHeader) -> Path:
    return out_dir / header.split / header.shard.rpartition("-")[2]


def _copy_shards(
    dataset: Path,
    out_dir: Path,
    manifest: DatasetManifest,
    missing: Sequence[ShardHeader],
    threads: int,
    progress: Progress,
) -> None:
    """Copy the images of the missing shards, several shards at once."""
    total = manifest.totals["crops"]
    done = sum(header.samples for header in manifest.shards) - sum(header.samples for header in missing)
    progress(done, total)

    def copy(header: ShardHeader) -> int:
        _copy_shard(ShardPaths(dataset, header.shard), _folder(out_dir, header), manifest.image_extension)
        return header.samples

    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for samples in pool.map(copy, missing):
                done += samples
                progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _copy_shard(paths: ShardPaths, folder: Path, extension: str) -> None:
    with atomic_directory(folder) as part, open(paths.tar, "rb") as tar:
        for record in read_records(paths):
            tar.seek(record.offset)
            content = tar.read(record.bytes)
            if sha256_bytes(content) != record.sha256:
                raise UserError(
                    f"The image of crop {record.key} in {paths.tar} is damaged: its sha256 differs from its record",
                    "Rebuild the shard with VerifyDataset --rebuild",
                )
            (part / f"{record.key}.{extension}").write_bytes(content)


def _write_lists(dataset: Path, out_dir: Path, split: str, manifest: DatasetManifest) -> int:
    """Write both lists of a split in shard order; return the number of images in them."""
    count = 0
    with (
        atomic_file(file_list_path(out_dir, split)) as file_list,
        atomic_file(meta_info_path(out_dir, split)) as meta_info,
    ):
        for count, (name, record) in enumerate(_list_images(dataset, split, manifest), 1):
            file_list.write(f"{name} {count - 1}\n".encode())
            meta_info.write(f"{name} ({record.box.height},{record.box.width},3)\n".encode())
    return count


def _list_images(dataset: Path, split: str, manifest: DatasetManifest) -> Iterator[tuple[str, CropRecord]]:
    """Yield path in the split's folder and record of each image of a split."""
    for header in manifest.shards:
        if header.split == split:
            for record in read_records(ShardPaths(dataset, header.shard)):
                number = header.shard.rpartition("-")[2]
                yield f"{number}/{record.key}.{manifest.image_extension}", record
