"""What the DAG costs on top of the work: MakeCrops of many tiny shards, against the same work in a plain loop.

    python tests/bench/scheduling.py [--shards 1000] [--workers 8]

A folder of tiny images is planned as one crop an image and one image a shard, so that there is next to no work
in a shard and what is left is Luigi, its processes and the store. What is printed:

- the loop: index, plan, pack and finish in one process, one thread, with no Luigi: the work itself;
- the first run of MakeCrops, from an empty store;
- what that takes longer than the loop, for each shard: Luigi's scheduler, a forked process, a bar;
- the run again, with everything there.

Both ways must have made the same bytes.

Wall time depends on what else the machine does; CPU time (of the run and all its task processes) hardly does, and is
printed beside it.
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

from data.catalog.catalog import resolve
from data.hashing import sha256_file
from data.shards import ShardPaths
from data.sources import open_source
from pipeline.crop_plan import PlanSettings, plan_dataset, planned_shards, read_plan_shard, write_plan
from pipeline.dataset import finish_dataset
from pipeline.index import index_source, read_entries
from pipeline.pack import pack_shard
from tasks.crops import PlanCrops, pack_settings

SIDE_PX = 32
LONGEST_AGAIN_S = 3.0
LARGEST_OVERHEAD_MS = 20.0
COMPARED = ("shards/*", "index/*", "manifest/*", "rejections.jsonl")


@dataclass(frozen=True)
class Cost:
    """What something took."""

    wall_s: float
    cpu_s: float
    """User and system, of this process and of those that it waited for."""


def draw_images(folder: Path, count: int) -> None:
    """Fill a folder with images of mild noise, 32x32, each another one."""
    stream = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(
            str(folder / f"{number:05d}.png"), stream.integers(96, 160, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        )


def timed_luigi(photos: Path, store: Path, workers: int) -> Cost:
    """Run MakeCrops and return what it cost.

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


def timed_loop(photos: Path, root: Path) -> Cost:
    """Do what the tasks do, one after the other in this process, with the settings that they get."""
    dataset = resolve(str(photos))
    begun, cpu_begun = time.perf_counter(), time.process_time()
    source = open_source(dataset)
    index_source(source, dataset.name, root / "index", least_side_px=SIDE_PX, max_bad_fraction=0.0)
    write_plan(*plan_dataset(read_entries(root / "index"), _plan_settings(), dataset.name), root / "plan")
    for shard in planned_shards(root / "plan"):
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


def differing(one: Path, other: Path) -> list[str]:
    """Return the files of shards that are not the same in two datasets."""
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
    """Measure and print; return 1 where a limit is missed or the bytes differ."""
    photos = scratch / "photos"
    draw_images(photos, shards)
    loop = timed_loop(photos, scratch / "loop")
    first = timed_luigi(photos, scratch / "store", workers)
    again = timed_luigi(photos, scratch / "store", workers)
    (made,) = (scratch / "store" / "crops").iterdir()
    different = differing(scratch / "loop" / "crops", made)
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
        f"overhead              {overhead.wall_s:7.2f} ms wall {overhead.cpu_s:7.2f} ms CPU, for each shard "
        f"(limit {LARGEST_OVERHEAD_MS:.0f} ms wall)"
    )
    print(
        f"MakeCrops again       {again.wall_s:7.2f} s wall  {again.cpu_s:7.2f} s CPU "
        f"(limit {LONGEST_AGAIN_S:.0f} s wall)"
    )
    print(f"the same bytes        {'yes' if not different else f'NO: {different[:5]}'}")
    return int(bool(different) or overhead.wall_s > LARGEST_OVERHEAD_MS or again.wall_s > LONGEST_AGAIN_S)


def main(argv: list[str]) -> int:
    """Measure as the command line says, in a temporary directory."""
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
