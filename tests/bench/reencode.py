"""Measure how much of the validation images is trained on if a folder holds a second copy of each image.

    python tests/bench/reencode.py FOLDER… [--copies png,jpeg,scaled] [--size-px 128] [--limit N] [--seeds 0,1]

Each image of the folders is put into a folder of its own name, and beside it a copy: saved again as PNG, as JPEG of
quality 90, or scaled to 0.9 of its size. MakeCrops and SelectSamples then run as a user runs them, with a fifth of the
images for validation, and without the comparison of parts: with what finds copies switched off, with near-duplicates of
crops alone, and with the other defaults. Printed is the share of the selected validation crops of which at least half
of the pixels are in selected training crops. Where a crop lies in its image follows from its box, so nothing is
compared here that SelectSamples compares. The exit code is 1 if the share with the defaults is above 3%.
"""

import argparse
import dataclasses
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.json
import pyarrow.parquet
from PIL import Image

from data.catalog.resolve import resolve_dataset
from data.dali_index import read_index
from data.records import Rejection
from data.sources import open_source
from pipeline.selection.select_samples import read_selection

LARGEST_SHARE = 0.03
_SIDE = 32
"""Places in a crop that are looked up in the training crops, by side."""
_OFF = {
    "off": ("copy_bits", "near_duplicate_bits", "group_bits"),
    "near-duplicates alone": ("copy_bits", "group_bits"),
    "defaults": (),
}
"""Which keys of [selection] are -1 in each run."""
_COPY = "-copy"
Copy = Callable[[Image.Image], tuple[str, bytes]]


def _store(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


COPIES: dict[str, Copy] = {
    "png": lambda image: (".png", _store(image, "PNG", compress_level=1)),
    "jpeg": lambda image: (".jpg", _store(image, "JPEG", quality=90)),
    "scaled": lambda image: (
        ".png",
        _store(
            image.resize((image.width * 9 // 10, image.height * 9 // 10), Image.Resampling.LANCZOS), "PNG"
        ),
    ),
}


@dataclasses.dataclass(frozen=True)
class Crop:
    """Where a crop lies in its image, as fractions of its height and width."""

    image: str
    """Name of the image; a copy has that of its original."""
    top: float
    left: float
    bottom: float
    right: float


def fill_folder(folders: list[Path], copies: list[str], limit: int, out: Path) -> int:
    """Write the images of folders and their copies, in turn of each kind; return the number of images."""
    number = 0
    for folder in folders:
        source = open_source(resolve_dataset(f"images:{folder}"))
        entries = [one for one in source.scan() if not isinstance(one, Rejection)]
        for entry, pixels in source.read(entries[:limit] if limit else entries):
            if isinstance(pixels, Rejection):
                continue
            stored = folder / entry.id
            suffix, content = COPIES[copies[number % len(copies)]](Image.fromarray(pixels))
            for name, file in ((f"{number:04d}", stored.read_bytes()), (f"{number:04d}{_COPY}", content)):
                (out / name).mkdir()
                (out / name / f"image{stored.suffix if file != content else suffix}").write_bytes(file)
            number += 1
    return number


def select(folder: Path, store: Path, size_px: int, seed: int, *options: str) -> Path:
    """Run SelectSamples on a folder; return the directory of the selection."""
    before = set(store.glob("selections/*"))
    command = [
        sys.executable,
        "-m",
        "luigi",
        "--module",
        "tasks",
        "SelectSamples",
        "--store-root",
        str(store),
    ]
    command += ["--selection-datasets", str(folder), "--selection-leakage-bits", "-1"]
    command += ["--selection-max-validation", "0", "--crops-seed", str(seed), "--crops-size-px", str(size_px)]
    command += ["--crops-validation-fraction", "0.2", *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(run.stderr)
    (made,) = set(store.glob("selections/*")) - before
    return made


def read_crops(selection: Path, store: Path) -> dict[str, list[Crop]]:
    """Return the selected crops of each split."""
    manifest = read_selection(selection)
    crops = {split: [] for split in manifest.splits}
    for split, shards in manifest.splits.items():
        for shard in shards:
            dataset = (selection / shard.tar).resolve().parents[1]
            where = _read_places(dataset, store)
            crops[split] += [where[line.key] for line in read_index(selection / shard.index)]
    return crops


def _read_places(dataset: Path, store: Path) -> dict[str, Crop]:
    """Return where each crop of a dataset lies in its image."""
    sizes = {}
    for entries in store.glob("sources/*/entries.jsonl"):
        table = pyarrow.json.read_json(entries).to_pylist()
        sizes |= {one["id"]: (one["height"], one["width"]) for one in table}
    places = {}
    for row in pyarrow.parquet.read_table(dataset / "dataset.parquet").to_pylist():
        height, width = (side // row["downscale_factor"] for side in sizes[row["source"]])
        top, left = row["box_top"], row["box_left"]
        places[row["key"]] = Crop(
            row["source"].partition("/")[0].removesuffix(_COPY),
            top / height,
            left / width,
            (top + row["box_height"]) / height,
            (left + row["box_width"]) / width,
        )
    return places


def share_in_training(crops: dict[str, list[Crop]]) -> tuple[int, int]:
    """Return how many validation crops have half of their pixels in training crops, and how many there are."""
    training: dict[str, list[Crop]] = {}
    for crop in crops["train"]:
        training.setdefault(crop.image, []).append(crop)
    steps = (np.arange(_SIDE) + 0.5) / _SIDE
    found = 0
    for crop in crops["validation"]:
        rows = crop.top + (crop.bottom - crop.top) * steps
        columns = crop.left + (crop.right - crop.left) * steps
        covered = np.zeros((_SIDE, _SIDE), bool)
        for other in training.get(crop.image, []):
            inside = (rows >= other.top) & (rows < other.bottom)
            covered |= inside[:, None] & (columns >= other.left) & (columns < other.right)
        found += covered.mean() >= 0.5
    return found, len(crops["validation"])


def main() -> int:
    """Print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description="Measure how much of the validation images is trained on.")
    parser.add_argument("folders", nargs="+", type=Path, help="folders of images")
    parser.add_argument("--copies", default="png,jpeg,scaled", help=f"some of {', '.join(COPIES)}; in turn")
    parser.add_argument("--size-px", type=int, default=128)
    parser.add_argument("--limit", type=int, default=0, help="images of each folder; 0: all")
    parser.add_argument("--seeds", default="0,1", help="of the split and the boxes")
    options = parser.parse_args()
    copies, total, wrong = options.copies.split(","), 0, 0
    print(f"{'seed':>4}{'images':>8}{'validation crops':>18}{'half in training':>18}{'share':>8}")
    with tempfile.TemporaryDirectory(prefix="bench-reencode-") as scratch:
        (Path(scratch) / "images").mkdir()
        images = fill_folder(options.folders, copies, options.limit, Path(scratch) / "images")
        for seed in map(int, options.seeds.split(",")):
            for name, keys in _OFF.items():
                flags = [part for key in keys for part in (f"--selection-{key.replace('_', '-')}", "-1")]
                store = Path(scratch) / f"store-{seed}"
                selection = select(Path(scratch) / "images", store, options.size_px, seed, *flags)
                found, count = share_in_training(read_crops(selection, store))
                print(f"{seed:4}{2 * images:8}{count:18}{found:18}{found / count:8.1%}  {name}", flush=True)
                if name == "defaults":
                    total, wrong = total + count, wrong + found
    print(
        f"with the defaults: {wrong} of {total} validation crops, {wrong / total:.2%} (at most {LARGEST_SHARE:.0%})"
    )
    return int(wrong / total > LARGEST_SHARE)


if __name__ == "__main__":
    sys.exit(main())
