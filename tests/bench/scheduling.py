"""Measure the overhead of the DAG: MakeCrops with many tiny shards, against the same work in a plain loop.

    python tests/bench/scheduling.py [--shards 1000] [--workers 8]

A folder of tiny images is planned with one crop per image and one image per shard. A shard then needs almost no work,
and what remains is Luigi, its processes and the store. Printed are:

- the loop: index, plan, pack and finish in one process and one thread, without Luigi;
- the first run of MakeCrops, with an empty store;
- the overhead per shard compared with the loop: Luigi's scheduler, a forked process, the progress display;
- a second run, with everything already done.

Both ways must write the same bytes. Wall time depends on other work on the machine; CPU time (of the run and all its
task processes) hardly does, and is printed too.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import luigi
import numpy as np

from data.catalog.resolve import resolve_dataset
from data.hashing import sha256_file
from data.shards import ShardPaths
from data.sources import open_source
from pipeline.crop_plan import PlanSettings, plan_dataset
from pipeline.dataset import finish_dataset
from pipeline.index import index_source, read_entries
from pipeline.pack import pack_shard
from pipeline.plan_files import read_plan_shard, read_planned_shards, write_plan
from tasks.crop_settings import pack_settings
from tasks.crops import PlanCrops

SIDE_PX = 32
MAX_SECOND_RUN_S = 3.0
MAX_OVERHEAD_MS = 20.0
COMPARED = ("shards/*", "index/*", "manifest/*", "rejections.jsonl")


@dataclass(frozen=True)
class Cost:
    """Time that something took."""

    wall_s: float
    cpu_s: float
    """User and system time, of this process and its finished children."""


def draw_images(folder: Path, count: int) -> None:
    """Fill a folder with different images of mild noise, 32 x 32 pixels."""
    stream = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(
            str(folder / f"{number:05d}.png"), stream.integers(96, 160, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        )


def time_luigi(photos: Path, store: Path, workers: int) -> Cost:
    """Run MakeCrops and return its cost.

    Raises:
        CalledProcessError: it failed.
    """
    options = [
        "--crops-size-px",
        str(SIDE_PX),
        "--crops-downscale-factors",
        "1",
        "--crops-crops-per-shard",
        "1",
    ]
    command = [sys.executable, "-m", "luigi", "--module", "tasks", "MakeCrops", "--dataset", str(photos)]
    before, begun = _children_cpu_s(), time.perf_counter()
    subprocess.run(
        [*command, "--workers", str(workers), "--store-root", str(store), *options],
        check=True,
        stdout=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "LUIGI_CONFIG_PATH"},
    )
    return Cost(time.perf_counter() - begun, _children_cpu_s() - before)


def time_loop(photos: Path, root: Path) -> Cost:
    """Do the work of the tasks one after another in this process, with the same settings."""
    dataset = resolve_dataset(str(photos))
    begun, cpu_begun = time.perf_counter(), time.process_time()
    source = open_source(dataset)
    index_source(source, dataset.name, root / "index", min_side_px=SIDE_PX, max_bad_fraction=0.0)
    write_plan(*plan_dataset(read_entries(root / "index"), _plan_settings(), dataset.name), root / "plan")
    for shard in read_planned_shards(root / "plan"):
        planned = read_plan_shard(root / "plan", shard["name"])
        pack_shard(planned, source, ShardPaths(root / "crops", shard["name"]), pack_settings())
    finish_dataset(
        root / "crops",
        dataset,
        root / "index",
        root / "plan",
        spec_hash="",
        crop_size_px=SIDE_PX,
        image_extension=pack_settings().image_extension,
        max_bad_fraction=0.0,
    )
    return Cost(time.perf_counter() - begun, time.process_time() - cpu_begun)


def find_differing_files(one: Path, other: Path) -> list[str]:
    """Return the shard files that differ between two datasets."""
    digests = [
        {
            str(path.relative_to(root)): sha256_file(path)
            for pattern in COMPARED
            for path in root.glob(pattern)
        }
        for root in (one, other)
    ]
    names = digests[0].keys() | digests[1].keys()
    return sorted(name for name in names if digests[0].get(name) != digests[1].get(name))


def measure(shards: int, workers: int, scratch: Path) -> int:
    """Measure and print; return 1 if a limit is not met or the bytes differ."""
    photos = scratch / "photos"
    draw_images(photos, shards)
    loop = time_loop(photos, scratch / "loop")
    first = time_luigi(photos, scratch / "store", workers)
    again = time_luigi(photos, scratch / "store", workers)
    (made,) = (scratch / "store" / "crops").iterdir()
    different = find_differing_files(scratch / "loop" / "crops", made)
    found = len(list((made / "shards").iterdir()))
    overhead = Cost(
        *(
            1000 * (part - whole) / found
            for part, whole in ((first.wall_s, loop.wall_s), (first.cpu_s, loop.cpu_s))
        )
    )
    print(f"{found} shards, {workers} workers, {len(os.sched_getaffinity(0))} cores")
    print(f"plain loop            {loop.wall_s:7.2f} s wall  {loop.cpu_s:7.2f} s CPU")
    print(f"MakeCrops             {first.wall_s:7.2f} s wall  {first.cpu_s:7.2f} s CPU")
    print(
        f"overhead              {overhead.wall_s:7.2f} ms wall {overhead.cpu_s:7.2f} ms CPU, per shard "
        f"(limit {MAX_OVERHEAD_MS:.0f} ms wall)"
    )
    print(
        f"MakeCrops again       {again.wall_s:7.2f} s wall  {again.cpu_s:7.2f} s CPU "
        f"(limit {MAX_SECOND_RUN_S:.0f} s wall)"
    )
    print(f"the same bytes        {'yes' if not different else f'NO: {different[:5]}'}")
    return int(bool(different) or overhead.wall_s > MAX_OVERHEAD_MS or again.wall_s > MAX_SECOND_RUN_S)


def main(argv: list[str]) -> int:
    """Parse the command line and measure in a temporary directory; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="bench-scheduling-") as scratch:
        return measure(options.shards, options.workers, Path(scratch))


def _plan_settings() -> PlanSettings:
    config = luigi.configuration.get_config()
    for name, value in (("size_px", SIDE_PX), ("downscale_factors", "1"), ("crops_per_shard", 1)):
        config.set("crops", name, str(value))
    return PlanCrops(dataset="Sample").settings()


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
