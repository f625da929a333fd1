"""Measures the loader's training pairs per second, against decoding alone and against BasicSR's way.

    python tests/bench/loader.py [IMAGES_DIR] [--images 240] [--rounds 5] [--seconds 3]

512x512 crops are cut from the images of IMAGES_DIR (or from generated dead leaves) and written as shards and as PNG
files, with the same encoder. All loaders use as many threads or processes as there are cores, and return 256x256
patches at x2 in batches of 16:

    decoding   the same crops read, verified and decoded by DALI, and nothing else
    dali       training batches whose crops are decoded each time; also with four patches a crop, and with degraded LR
               images
    opencv     the same without DALI
    kept       training batches whose crops were decoded before
    basicsr    a torch DataLoader over PNG files, like BasicSR's: OpenCV reads an image and converts it to float; a
               patch is cut, flipped and rotated at random, and downscaled by OpenCV's cubic filter

Each round runs all of them in turn, each in its own process. Medians are compared: of pairs per second by the clock,
which needs a quiet machine, and of pairs per CPU second of the process and its workers, which does not. The exit code
is 1 if, by the latter, `dali` is less than 1.5 times as fast as `basicsr`, or less than 0.85 times as fast as decoding.
"""

import argparse
import itertools
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch
from torch.utils.data import DataLoader, Dataset

from data.hashing import generator
from data.imaging.dead_leaves import dead_leaves
from data.imaging.decode import SUFFIXES, decode
from data.imaging.encode import encode_png
from data.records import Box, CropRecord
from data.selection import Split
from data.shards import ShardPaths, open_shard
from sr.distributed.ranks import Rank
from sr.pairs.batches import PairMaker, TrainingBatches
from sr.pairs.crop_cache import open_cache
from sr.pairs.crop_reader import CropReader
from sr.training.job import TrainingJob

CROP, PATCH, SCALE, BATCH = 512, 256, 2, 16
CORES = len(os.sched_getaffinity(0))
CPU = torch.device("cpu")
MIN_RATIOS = {"basicsr": 1.5, "decoding": 0.85}
"""Required ratios of the pairs per CPU second of `dali` to these."""
WARM_UP_BATCHES = 8
"""More than any of them prefetches."""
DEGRADED = "bicubic,blur,noise,jpeg,codec"


def crops(folder: Path | None, count: int) -> list[np.ndarray]:
    """Cut `count` crops; crops are repeated if there are too few."""
    if folder is None:
        sheets = [
            dead_leaves(generator("bench", number), 2 * CROP, 2 * CROP) for number in range(-(-count // 4))
        ]
    else:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        sheets = [decode(path.read_bytes()) for path in paths]
    cut = [
        np.ascontiguousarray(sheet[top : top + CROP, left : left + CROP])
        for sheet in sheets
        for top in range(0, sheet.shape[0] - CROP + 1, CROP)
        for left in range(0, sheet.shape[1] - CROP + 1, CROP)
    ]
    return [cut[number % len(cut)] for number in range(count)]


def write(images: list[np.ndarray], root: Path) -> Split:
    """Write a shard, and the same images as files under `files`."""
    paths = ShardPaths(root, "train-000000")
    (root / "files").mkdir()
    with open_shard(paths, "train", "png", []) as writer:
        for number, pixels in enumerate(images):
            key, content = f"{number:06}", encode_png(pixels)
            box = Box(0, 0, CROP, CROP)
            writer.add(CropRecord(key, "", 0, 0, "", key, "", 1, box, "", "", {}, "train", key), content)
            (root / "files" / f"{key}.png").write_bytes(content)
    return Split("train", (str(paths.tar),), (str(paths.index),), "png", len(images), CROP)


class PngPairs(Dataset):
    """Like BasicSR's datasets: one file, one pair, float in 0..1."""

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(folder.iterdir())

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (lr_image, hr_image), float32 CHW."""
        cv2.setNumThreads(1)
        image = cv2.imread(str(self._paths[number]), cv2.IMREAD_COLOR).astype(np.float32) / 255.0
        top, left = random.randint(0, CROP - PATCH), random.randint(0, CROP - PATCH)
        hr_image = image[top : top + PATCH, left : left + PATCH]
        if random.random() < 0.5:
            hr_image = cv2.flip(hr_image, 1)
        if random.random() < 0.5:
            hr_image = cv2.flip(hr_image, 0)
        if random.random() < 0.5:
            hr_image = hr_image.transpose(1, 0, 2)
        lr_image = cv2.resize(hr_image, (PATCH // SCALE, PATCH // SCALE), interpolation=cv2.INTER_CUBIC)
        return tuple(
            torch.from_numpy(cv2.cvtColor(one, cv2.COLOR_BGR2RGB).transpose(2, 0, 1).copy())
            for one in (lr_image, hr_image)
        )


def basicsr(folder: Path) -> Iterator[int]:
    """Yield the number of pairs of each batch, epoch after epoch."""
    loader = DataLoader(
        PngPairs(folder), BATCH, shuffle=True, num_workers=CORES, persistent_workers=True, drop_last=True
    )
    while True:
        for _, hr_image in loader:
            yield len(hr_image)


def decoding(split: Split) -> Iterator[int]:
    """Yield the number of crops of each batch that DALI has decoded."""
    reader = CropReader(split, "dali", CORES)
    for numbers in itertools.cycle(np.split(np.arange(split.samples), range(BATCH, split.samples, BATCH))):
        yield len(reader.read(numbers))


def ours(split: Split, decoder: str = "dali", place: str = "off", **settings: object) -> Iterator[int]:
    """Yield the number of pairs of each batch that training would see."""
    job = TrainingJob("realtime-x2", "", "", patch_px=PATCH, **{"batch_size": BATCH} | settings)
    cache = open_cache(CropReader(split, decoder, CORES), place, Path(split.tars[0]).parent, Rank(0, 1, CPU))
    if cache.keeps:
        cache.load(np.arange(split.samples))
    batches = TrainingBatches(cache, job, PairMaker(job, SCALE, CPU, CORES), slice(None), 0)
    for step in itertools.count():
        yield len(batches.get(step).hr_image)


def open_loader(name: str, split: Split, root: Path) -> Iterator[int]:
    """Open one of the loaders: an endless stream of the numbers of pairs in its batches."""
    if name == "basicsr":
        return basicsr(root / "files")
    return decoding(split) if name == "decoding" else ours(split, **LOADERS[name])


LOADERS: dict[str, dict[str, object]] = {
    "decoding": {},
    "basicsr": {},
    "dali": {},
    "dali, four patches": {"batch_size": 4 * BATCH, "patches_per_image": 4},
    "dali, degraded": {"degradation": DEGRADED},
    "opencv": {"decoder": "opencv"},
    "kept in memory": {"place": "memory"},
    "kept, degraded": {"place": "memory", "degradation": DEGRADED},
}
"""The loaders by name; for our own, with their settings."""


def rates(name: str, split: Split, root: Path, seconds: float) -> tuple[float, float]:
    """Return pairs per second and pairs per CPU second; runs in its own process."""
    batches = open_loader(name, split, root)
    for _ in range(WARM_UP_BATCHES):
        next(batches)
    begun, cpu, pairs = time.perf_counter(), _cpu_s(), 0
    while (taken := time.perf_counter() - begun) < seconds:
        pairs += next(batches)
    return pairs / taken, pairs / (_cpu_s() - cpu)


def _cpu_s() -> float:
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def main(argv: list[str]) -> int:
    """Measure, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images_dir", nargs="?", type=Path, help="folder of images of 512x512 pixels or more")
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="bench-loader-") as folder:
        root = Path(folder)
        split = write(crops(options.images_dir, options.images), root)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in LOADERS}
        for _ in range(options.rounds):
            for name in LOADERS:
                alone = {"max_workers": 1, "mp_context": multiprocessing.get_context("spawn")}
                with ProcessPoolExecutor(**alone) as process:
                    found[name].append(process.submit(rates, name, split, root, options.seconds).result())
    clock, cpu = (
        {name: statistics.median(pair[kind] for pair in pairs) for name, pairs in found.items()}
        for kind in (0, 1)
    )
    print(f"{options.images} crops of {CROP}x{CROP}, {CORES} threads, medians of {options.rounds} rounds")
    print(f"{'':20}{'pairs/s':>9}{'pairs/CPU s':>13}{'least to most':>16}{'/ decoding':>12}{'/ basicsr':>11}")
    for name, pairs in found.items():
        least, most = (choose(pair[1] for pair in pairs) for choose in (min, max))
        shares = (cpu[name] / cpu["decoding"], cpu[name] / cpu["basicsr"])
        spread = f"{least:.0f} to {most:.0f}"
        print(f"{name:20}{clock[name]:9.0f}{cpu[name]:13.0f}{spread:>16}{shares[0]:12.2f}{shares[1]:11.2f}")
    reached = {name: cpu["dali"] / cpu[name] for name in MIN_RATIOS}
    for name, least in MIN_RATIOS.items():
        print(f"dali / {name}: {reached[name]:.2f}, at least {least}")
    return 0 if all(reached[name] >= least for name, least in MIN_RATIOS.items()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
