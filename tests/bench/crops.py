"""Measure how fast crops are made, against the codecs alone and against two other methods, on the same images.

    python tests/bench/crops.py [SOURCE_DIR] [--images 16] [--rounds 3]

The images are mosaics of 2040 x 1356 pixels, assembled from the photographs of SOURCE_DIR (by default those of the
scikit-image package), as PNG and as JPEG. Times are CPU times with all child processes, so other work on the machine
matters little. Only the last comparison, of two workers with one, is by the clock and needs an idle machine.

    codecs     decode each image and encode each of its crops with the same functions, and nothing else
    files      also read each image from its file and write each crop to one: what no method can avoid
    trials     a common script: Pillow, 10,000 random tries to place boxes, seeded by the clock, PNG level 6
    grid       BasicSR's method: OpenCV, overlapping crops on a regular grid, PNG level 3

Each of `--rounds` rounds runs all of them in turn, and medians are compared. The exit code is 1 if a crop is not made 8
times as fast as with trials, a crop from PNG not 3 times as fast as on the grid, or two workers are not 1.8 times as
fast as one.
"""

import argparse
import contextlib
import functools
import io
import multiprocessing
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from data.catalog.resolve import resolve_dataset
from data.hashing import pixels_digest
from data.imaging.decode import decode
from data.imaging.encode import PNG_EFFORTS, encode_jpeg, encode_png
from data.records import PlannedSource
from data.shards import ShardPaths, read_header
from data.sources import Source, open_source
from pipeline.crop_plan import PlanSettings, place_crops, plan_dataset
from pipeline.downscale import downscale
from pipeline.index import index_source, read_entries
from pipeline.pack import PackSettings, cut_crop, pack_shard
from pipeline.quality_filters import QualityThresholds

HEIGHT, WIDTH, CROP = 1356, 2040, 512
TRIES = 10_000
KINDS = ("png", "jpeg")
TWO_WORKERS = "two workers, a shard each"
MIN_SPEED_TO_TRIALS, MIN_SPEED_TO_GRID, MIN_SPEED_TO_ONE_WORKER = 8.0, 3.0, 1.8
MIN_CODECS = 0.8
"""Fraction of our time that reading, decoding, encoding and writing should take; only shown."""
PLAN = PlanSettings("random", CROP, (1, 2, 4), 0, CROP, 0, 1 << 27, 0.0, 1_000_000, 0)
PACK = PackSettings(PLAN, "png", "fast", 95, QualityThresholds())
"""Every metric is measured, as in MakeCrops, but no crop is rejected: parts of the mosaics are upscaled."""


def mosaics(source_dir: Path | None, count: int) -> Iterator[np.ndarray]:
    """Yield images of 2040 x 1356 pixels, each made of four photographs; upright ones are rotated."""
    source = open_source(resolve_dataset(str(source_dir) if source_dir else "Photos"))
    entries = sorted((entry for entry in source.scan() if hasattr(entry, "sha256")), key=lambda one: one.id)
    tiles = []
    for _, image in source.read(entries):
        if isinstance(image, np.ndarray):
            landscape = image if image.shape[1] >= image.shape[0] else np.rot90(image)
            factor = max(HEIGHT / 2 / landscape.shape[0], WIDTH / 2 / landscape.shape[1])
            if factor > 1:
                landscape = cv2.resize(np.ascontiguousarray(landscape), None, fx=factor, fy=factor)
            tiles.append(landscape[: HEIGHT // 2, : WIDTH // 2])
    for number in range(count):
        one, two, three, four = (tiles[(4 * number + place) % len(tiles)] for place in range(4))
        yield np.vstack([np.hstack([one, two]), np.hstack([three, four])])


@contextlib.contextmanager
def cpu_time(spent: dict[str, list[float]], name: str) -> Iterator[None]:
    """Append the CPU seconds of the block, with its child processes, to `spent[name]`."""
    before = _cpu_s()
    yield
    spent.setdefault(name, []).append(_cpu_s() - before)


def _cpu_s() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def plan_folder(folder: Path, scratch: Path) -> tuple[Source, list[PlannedSource]]:
    """Index a folder and plan its crops; return the source and the plan."""
    source = open_source(resolve_dataset(str(folder)))
    index_source(source, folder.name, scratch, min_side_px=CROP, max_bad_fraction=0)
    return source, list(plan_dataset(read_entries(scratch), PLAN, folder.name)[0])


def time_codecs(
    folder: Path, plan: list[PlannedSource], spent: dict[str, list[float]], scratch: Path
) -> None:
    """Time decoding and encoding of the same pixels, and reading and writing of the files; nothing in between."""
    codecs = files = 0.0
    with tempfile.NamedTemporaryFile(dir=scratch) as out:
        for one in plan:
            begun = _cpu_s()
            content = (folder / one.entry.locator).read_bytes()
            read = _cpu_s()
            image = decode(content)
            codecs, files = codecs + _cpu_s() - read, files + read - begun
            crops = place_crops(one.entry, pixels_digest(image), PLAN)
            pieces = [cut_crop(downscale(image, crop.downscale_factor), crop) for crop in crops]
            begun = _cpu_s()
            encoded = [encode_png(pixels, PACK.png_effort) for pixels in pieces]
            made = _cpu_s()
            for content in encoded:
                out.write(content)
            codecs, files = codecs + made - begun, files + _cpu_s() - made
    spent.setdefault("codecs", []).append(codecs)
    spent.setdefault("files", []).append(codecs + files)


def crop_by_trials(folder: Path, out: Path) -> int:
    """Crop a folder at random positions found by trial and error; return the number of crops."""
    made = 0
    for path in sorted(folder.iterdir()):
        image = Image.open(path)
        if image.format != "PNG":
            image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
        chance = random.Random(time.time_ns())
        while min(image.size) >= CROP:
            boxes: list[tuple[int, int]] = []
            for _ in range(TRIES):
                left, top = chance.randint(0, image.width - CROP), chance.randint(0, image.height - CROP)
                if not any(abs(left - x) < CROP and abs(top - y) < CROP for x, y in boxes):
                    boxes.append((left, top))
            for left, top in boxes:
                image.crop((left, top, left + CROP, top + CROP)).save(out / f"{made}.png", "PNG")
                made += 1
            image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
    return made


def crop_by_grid(folder: Path, out: Path) -> int:
    """Crop a folder on BasicSR's grid (half a crop apart); return the number of crops."""
    made, step = 0, CROP // 2
    for path in sorted(folder.iterdir()):
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        tops, lefts = (np.arange(0, side - CROP + 1, step) for side in image.shape[:2])
        tops, lefts = np.append(tops, image.shape[0] - CROP), np.append(lefts, image.shape[1] - CROP)
        for top in dict.fromkeys(tops.tolist()):
            for left in dict.fromkeys(lefts.tolist()):
                crop = np.ascontiguousarray(image[top : top + CROP, left : left + CROP])
                cv2.imwrite(str(out / f"{made}.png"), crop, [cv2.IMWRITE_PNG_COMPRESSION, 3])
                made += 1
    return made


def compare(folder: Path, scratch: Path, rounds: int) -> bool:
    """Print one table for one folder of images; return whether all limits are met."""
    source, plan = plan_folder(folder, scratch / f"{folder.name}-index")
    crops = {"ours": 0, "trials": 0, "grid": 0}
    spent: dict[str, list[float]] = {}
    for number in range(rounds):
        paths = ShardPaths(scratch / f"{folder.name}-{number}", "train-000000")
        with cpu_time(spent, "ours"):
            pack_shard(plan, source, paths, PACK)
        crops["ours"] = read_header(paths.header).samples
        time_codecs(folder, plan, spent, scratch)
        for name, method in (("trials", crop_by_trials), ("grid", crop_by_grid)):
            with tempfile.TemporaryDirectory(dir=scratch) as out, cpu_time(spent, name):
                crops[name] = method(folder, Path(out))
    images = len(plan)
    median = {name: statistics.median(seconds) for name, seconds in spent.items()}
    print(f"\n{folder.name.upper()}: {images} images of {WIDTH}x{HEIGHT}, medians of {rounds} rounds")
    print(f"{'':8}{'CPU ms/image':>18}{'crops/image':>17}{'CPU ms/crop':>15}{'crops/s/core':>16}")
    for name, count in crops.items():
        row = (
            1e3 * median[name] / images,
            count / images,
            1e3 * median[name] / count,
            count / median[name],
        )
        print(f"{name:8}{row[0]:18.1f}{row[1]:17.2f}{row[2]:15.2f}{row[3]:16.1f}")
    for name in ("codecs", "files"):
        print(f"{name:8}{1e3 * median[name] / images:18.1f}")
    speed = {name: count / median[name] for name, count in crops.items()}
    minimum = {"trials": MIN_SPEED_TO_TRIALS, "grid": MIN_SPEED_TO_GRID if folder.name == "png" else 0.0}
    for name, limit in minimum.items():
        print(f"ours / {name}: {median[name] / median['ours']:.1f} times per image, "
              f"{speed['ours'] / speed[name]:.1f} times per crop (at least {limit:g})")  # fmt: skip
    print(f"codecs alone: {median['codecs'] / median['ours']:.0%} of ours; "
          f"with reading and writing: {median['files'] / median['ours']:.0%} (target: {MIN_CODECS:.0%})")  # fmt: skip
    return all(speed["ours"] >= limit * speed[name] for name, limit in minimum.items())


def compare_workers(folder: Path, scratch: Path, rounds: int) -> bool:
    """Print the speedup, by the clock, of two workers with a shard each and of two processes with one shard.

    Returns:
        Whether two workers reach their minimum speedup.
    """
    source, plan = plan_folder(folder, scratch / "pair-index")

    def pack(name: str, times: int, processes: int) -> None:
        pack_shard(
            plan * times, source, ShardPaths(scratch / name, "train-000000"), PACK, processes=processes
        )

    def two_workers() -> None:
        workers = [multiprocessing.Process(target=pack, args=(f"worker-{one}", 2, 1)) for one in "ab"]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    methods = {
        "one": lambda: pack("one", 4, 1),
        TWO_WORKERS: two_workers,
        "two processes, one shard": lambda: pack("two", 4, 2),
    }
    taken: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            begun = time.perf_counter()
            method()
            taken[name].append(time.perf_counter() - begun)
    alone = statistics.median(taken.pop("one"))
    print()
    faster = {name: alone / statistics.median(durations) for name, durations in taken.items()}
    for name, times in faster.items():
        limit = f" (at least {MIN_SPEED_TO_ONE_WORKER})" if name == TWO_WORKERS else ""
        print(f"{name}: {times:.2f} times as fast as one, by the clock{limit}")
    return faster[TWO_WORKERS] >= MIN_SPEED_TO_ONE_WORKER


def print_codec_table(scratch: Path) -> None:
    """Print time and size of each encoder, and the time of each decoder, on one core."""
    stored = {kind: next((scratch / kind).iterdir()).read_bytes() for kind in KINDS}
    crop = np.ascontiguousarray(decode(stored["png"])[100 : 100 + CROP, 200 : 200 + CROP])
    encoders = {f"PNG {effort}": functools.partial(encode_png, effort=effort) for effort in PNG_EFFORTS}
    encoders |= {"PNG Pillow level 6": _by_pillow, "JPEG 95 4:4:4": encode_jpeg}
    print(f"{'encode 512x512':24}{'ms':>8}{'KB':>8}")
    for name, encode in encoders.items():
        print(f"{name:24}{_median_ms(encode, crop):8.2f}{len(encode(crop)) / 1024:8.0f}")
    decoders = {
        "ours": decode,
        "Pillow": lambda content: np.asarray(Image.open(io.BytesIO(content))),
        "OpenCV": lambda content: cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR),
    }
    print(f"\n{f'decode {WIDTH}x{HEIGHT}':24}{'ms':>8}")
    for kind, content in stored.items():
        for name, decoder in decoders.items():
            print(f"{f'{kind.upper()} {name}':24}{_median_ms(decoder, content):8.1f}")
    print(f"{'digest of the pixels':24}{_median_ms(pixels_digest, decode(stored['png'])):8.1f}")


def _by_pillow(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _median_ms(work: Callable[[Any], object], argument: object, times: int = 7) -> float:
    work(argument)
    taken = []
    for _ in range(times):
        begun = time.process_time()
        work(argument)
        taken.append(time.process_time() - begun)
    return 1e3 * statistics.median(taken)


def main(argv: list[str]) -> int:
    """Measure, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source_dir", nargs="?", type=Path, help="photographs of about 1020 x 678 pixels or more"
    )
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="bench-crops-") as folder:
        scratch = Path(folder)
        for kind in KINDS:
            (scratch / kind).mkdir()
        for number, image in enumerate(mosaics(options.source_dir, options.images)):
            # PNG with zlib at its default level, as in most datasets.
            Image.fromarray(image).save(scratch / "png" / f"{number:03}.png")
            Image.fromarray(image).save(scratch / "jpeg" / f"{number:03}.jpg", quality=92)
        os.sync()
        print_codec_table(scratch)
        reached = [compare(scratch / kind, scratch, options.rounds) for kind in KINDS]
        reached.append(compare_workers(scratch / "png", scratch, options.rounds))
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
