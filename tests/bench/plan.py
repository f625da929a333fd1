"""Plan the preparation of ImageNet whole (14.2 million images, 1.31 TB) and of ten times that, from measured costs.

    PYTHONPATH=.:tests/support python tests/bench/plan.py [--images 400] [--records 50000] [--cores 8] [--gb-per-s 1]

Measured on one core, in processor time: indexing and packing a tar of JPEGs of ImageNet's size, made of photographs;
indexing, planning and selecting many records without images, with the memory that each takes; and Luigi's scheduler
with many shards. From them follow the hours of each stage by number of hosts, and what limits it. What one process
does (the filter of the index, the plan, the end of the dataset, the selection) is not divided by hosts. The store's
bandwidth is one for all hosts. Network, failures and the wait for the last shard are not part of it.
"""

import argparse
import io
import multiprocessing
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from luigi.scheduler import Scheduler
from luigi.task_status import DONE, PENDING
from selection import make_dataset
from selection import measure as measure_selection

from data.catalog.resolve import resolve_dataset
from data.hashing import sha256_bytes
from data.records import SourceEntry
from data.shards import ShardPaths
from data.sources import open_source
from pipeline.crop_plan import MAX_SHARDS, PlanSettings, plan_dataset
from pipeline.dataset import finish_dataset, read_manifest
from pipeline.index import Entries, index_source
from pipeline.pack import PackSettings, pack_shard
from pipeline.plan_files import read_plan_shard, read_planned_shards, write_plan
from tasks.crops import pack_settings

HEIGHT, WIDTH, QUALITY, CROP = 375, 500, 92, 128
IMAGES, IMAGE_BYTES = 14_197_122, 92_000
HOSTS = (1, 2, 4, 8, 16, 32)
SHARDS = (500, 1000, 2000)
ASKS_EVERY_S = 1.5
"""An idle host asks luigid for work so often (luigi.cluster.cfg)."""
PLAN = PlanSettings("random", CROP, (1, 2, 4), 0, CROP, 0, 1 << 27, 0.02, 1000, 0)
PACK = PackSettings(PLAN, "png", "fast", 95, pack_settings().thresholds)


@dataclass(frozen=True)
class Costs:
    """Measured costs. Times are seconds of one core."""

    index_s: float
    """Reading and hashing an image."""
    records_s: float
    """The index's filter and the plan, for each image, in one process."""
    records_bytes: float
    """Memory of that process for each image."""
    pack_s: float
    """For each image."""
    crops: float
    """For each image."""
    crop_bytes: float
    """In a shard, with its record and the manifest."""
    finish_s: float
    """For each crop, in one process."""
    select_s: float
    """For each crop, in one process."""
    select_bytes: float
    """Memory of that process for each crop."""
    scheduler_s: dict[int, float]
    """Of Luigi's scheduler, for all shards, by their number."""


def in_process(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float, int]:
    """Run in a process of its own; return its result, its processor seconds and its peak memory in bytes."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1) as pool:
        return pool.apply(_measured, (work, *arguments))


def _measured(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float, int]:
    begun = time.process_time()
    result = work(*arguments)
    spent = time.process_time() - begun
    return result, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write_tar(path: Path, count: int) -> None:
    """Write a tar of JPEGs cut from the photographs of scikit-image, about as large as ImageNet's."""
    source = open_source(resolve_dataset("Photos"))
    entries = [one for one in source.scan() if isinstance(one, SourceEntry)]
    photos = [image for _, image in source.read(entries) if isinstance(image, np.ndarray)]
    photos = [one for one in photos if one.shape[0] > HEIGHT and one.shape[1] > WIDTH] or photos
    chance = np.random.default_rng(0)
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            photo = photos[number % len(photos)]
            top, left = (
                int(chance.integers(0, photo.shape[axis] - side)) for axis, side in ((0, HEIGHT), (1, WIDTH))
            )
            cut = np.ascontiguousarray(photo[top : top + HEIGHT, left : left + WIDTH, ::-1])
            content = cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
            member = tarfile.TarInfo(f"n{number % 20:08d}/{number}.JPEG")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def index_tar(tar: Path, root: Path) -> None:
    """Index a tar with one thread."""
    index_source(
        open_source(resolve_dataset(str(tar))), "made", root / "index", min_side_px=CROP, max_bad_fraction=0
    )


def pack_all(tar: Path, root: Path) -> None:
    """Plan the index of a tar and pack its shards in this process."""
    source = open_source(resolve_dataset(str(tar)))
    write_plan(*plan_dataset(Entries(root / "index"), PLAN, "made"), root / "plan")
    for shard in read_planned_shards(root / "plan"):
        planned = read_plan_shard(root / "plan", shard["name"])
        pack_shard(planned, source, ShardPaths(root / "crops", shard["name"]), PACK)


def finish(tar: Path, root: Path) -> float:
    """Write what stands beside the shards three times; return the processor seconds of the fastest."""
    spent = []
    for _ in range(3):
        begun = time.process_time()
        finish_dataset(
            root / "crops",
            resolve_dataset(str(tar)),
            root / "index",
            root / "plan",
            spec_hash="0" * 12,
            crop_size_px=CROP,
            image_extension="png",
            max_bad_fraction=0.0,
        )
        spent.append(time.process_time() - begun)
    return min(spent)


class MadeRecords:
    """A source of entries without images.

    Args:
        count: how many.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, count: int) -> None:
        self._count = count

    def scan(self, threads: int = 1, progress: Any = None) -> Iterator[SourceEntry]:
        """Yield the entries."""
        for number in range(self._count):
            name = f"n{number // 650:08d}.tar/n{number // 650:08d}_{number}.JPEG"
            sha256 = sha256_bytes(name.encode())
            yield SourceEntry(
                name, f"0:{number}:90000", WIDTH, HEIGHT, "jpeg", IMAGE_BYTES, sha256, True, name, 8
            )


def index_records(count: int, out: Path) -> None:
    """Filter and plan entries without images."""
    index_source(MadeRecords(count), "made", out, min_side_px=CROP, max_bad_fraction=0)  # type: ignore[arg-type]
    write_plan(*plan_dataset(Entries(out), PLAN, "made"), out / "plan")


def select(directory: Path, out: Path) -> None:
    """Select from made rows, as tests/bench/selection.py does."""
    measure_selection(directory, out, 2, multiprocessing.get_context("spawn").SimpleQueue())


def schedule(count: int) -> None:
    """Have Luigi's scheduler hand out `count` shards to one worker of 32 processes, and mark them done."""
    scheduler = Scheduler()
    for number in range(count):
        scheduler.add_task(task_id=f"shard-{number}", status=PENDING, worker="host", family="PackShard")
    scheduler.add_worker("host", {"workers": 32})
    for _ in range(count):
        found = scheduler.get_work(worker="host", current_tasks=[])
        scheduler.add_task(task_id=found["task_id"], status=DONE, worker="host", family="PackShard")


def slope(
    work: Callable[..., Any], small: tuple[Any, ...], large: tuple[Any, ...], items: int
) -> tuple[float, float]:
    """Return seconds and bytes of memory an item, from two runs that differ by `items`: what is fixed drops out."""
    _, first_s, first_bytes = in_process(work, *small)
    _, second_s, second_bytes = in_process(work, *large)
    return max(0.0, second_s - first_s) / items, max(0.0, second_bytes - first_bytes) / items


def measure(images: int, records: int, scratch: Path) -> Costs:
    """Measure everything. What is fixed (loading libraries, the contact sheet) drops out: only differences count."""
    tars = [(scratch / f"{name}.tar", scratch / name) for name in ("small", "large")]
    for factor, (tar, root) in zip((1, 3), tars, strict=True):
        root.mkdir()
        write_tar(tar, factor * images)
    (index_s, _), (pack_s, _) = (slope(work, tars[0], tars[1], 2 * images) for work in (index_tar, pack_all))
    small_s, large_s = (in_process(finish, *one)[0] for one in tars)
    finish_s = max(0.0, large_s - small_s) / (2 * images)
    manifest = read_manifest(tars[1][1] / "crops")
    crops = manifest.totals["crops"]
    stored = sum(path.stat().st_size for path in (tars[1][1] / "crops").rglob("*") if path.is_file())
    spans = [(records, scratch / "r1"), (3 * records, scratch / "r3")]
    records_s, records_bytes = slope(index_records, spans[0], spans[1], 2 * records)
    for count, name in ((records, "s1"), (3 * records, "s3")):
        (scratch / name).mkdir()
        make_dataset(scratch / name, count)
    one, three = ((scratch / name, scratch / f"{name}-out") for name in ("s1", "s3"))
    select_s, select_bytes = slope(select, one, three, 2 * records)
    each = crops / (3 * images)
    return Costs(
        index_s,
        records_s,
        records_bytes,
        pack_s,
        each,
        stored / crops,
        finish_s / each,
        select_s,
        select_bytes,
        {count: in_process(schedule, count)[1] for count in SHARDS},
    )


def scheduler_seconds(costs: Costs, shards: int) -> float:
    """Return the scheduler's time for any number of shards: it grows with their square."""
    factors = [seconds / count**2 for count, seconds in costs.scheduler_s.items()]
    return factors[-1] * shards**2


def hours_by_stage(
    costs: Costs, images: int, hosts: int, cores: int, store_bytes_per_s: float
) -> dict[str, tuple]:
    """Return for each stage its hours, and what limits it."""
    read_s = images * IMAGE_BYTES / store_bytes_per_s
    crops = images * costs.crops
    write_s = crops * costs.crop_bytes / store_bytes_per_s
    shards = min(MAX_SHARDS, max(1, round(crops / PLAN.crops_per_shard)))
    stages = {
        "index": {
            "cores of one host": images * costs.index_s / cores,
            "one process": images * costs.records_s,
            "store": read_s,
        },
        "pack": {
            "cores": images * costs.pack_s / cores / hosts,
            "store": read_s + write_s,
            "scheduler": scheduler_seconds(costs, shards),
        },
        "finish": {"one process": crops * costs.finish_s},
        "select": {"one process": crops * costs.select_s},
    }
    return {
        stage: (max(limits.values()) / 3600, max(limits, key=lambda one: limits[one]))
        for stage, limits in stages.items()
    }


def print_costs(costs: Costs) -> None:
    """Print what was measured."""
    print("| measured, one core | |\n|---|---|")
    print(f"| index | {1000 * costs.index_s:.2f} ms an image |")
    print(
        f"| filter and plan, one process | {1e6 * costs.records_s:.0f} µs, {costs.records_bytes:.0f} bytes an image |"
    )
    print(f"| pack | {1000 * costs.pack_s:.1f} ms an image, {costs.crops:.2f} crops an image |")
    print(f"| a crop in its shard | {costs.crop_bytes / 1000:.1f} KB |")
    print(f"| end of the dataset, one process | {1e6 * costs.finish_s:.0f} µs a crop |")
    print(
        f"| selection, one process | {1e6 * costs.select_s:.0f} µs, {costs.select_bytes:.0f} bytes a crop |"
    )
    for count, seconds in costs.scheduler_s.items():
        print(f"| scheduler, {count} shards | {seconds:.1f} s |")


def print_plan(costs: Costs, cores: int, gb_per_s: float) -> None:
    """Print hours by number of hosts."""
    for images in (IMAGES, 10 * IMAGES):
        crops = images * costs.crops
        shards = min(MAX_SHARDS, max(1, round(crops / PLAN.crops_per_shard)))
        shard_gb = crops * costs.crop_bytes / shards / 1e9
        print(
            f"\n{images:,} images, {images * IMAGE_BYTES / 1e12:.2f} TB, hosts of {cores} cores, a store of "
            f"{gb_per_s:g} GB/s; {crops:,.0f} crops of {CROP}x{CROP}, {crops * costs.crop_bytes / 1e12:.2f} TB in "
            f"{shards} shards of {shard_gb:.2f} GB; memory: {images * costs.records_bytes / 1e9:.0f} GB to index and "
            f"plan, {crops * costs.select_bytes / 1e9:.0f} GB to select\n"
        )
        print("| hosts | index h | pack h | end h | select h | total h | most of it | packing waits for |")
        print("|---|---|---|---|---|---|---|---|")
        for hosts in HOSTS:
            stages = hours_by_stage(costs, images, hosts, cores, gb_per_s * 1e9)
            longest = max(stages, key=lambda one: stages[one][0])
            figures = " | ".join(f"{hours:.2f}" for hours, _ in stages.values())
            total = sum(hours for hours, _ in stages.values())
            most = f"{longest}: {stages[longest][1]}"
            print(f"| {hosts} | {figures} | {total:.2f} | {most} | {stages['pack'][1]} |")


def print_scheduler(costs: Costs) -> None:
    """Print the load of luigid: what a request costs while all shards are pending, and how busy hosts keep it."""
    hosts = (4, 16, 32)
    print(
        "\n| shards | luigid in all s | a request ms | "
        + " | ".join(f"{one} hosts ask" for one in hosts)
        + " |"
    )
    print("|---|---|---|" + "---|" * len(hosts))
    for shards in (500, 1000, 2000, 5000, 20_000):
        whole_s = scheduler_seconds(costs, shards)
        request_s = 2 * whole_s / shards
        loads = " | ".join(f"{one * request_s / ASKS_EVERY_S:.1%}" for one in hosts)
        print(f"| {shards:,} | {whole_s:.1f} | {1000 * request_s:.1f} | {loads} |")


def main(argv: list[str]) -> int:
    """Parse the command line, measure in a temporary directory, print; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=400, help="JPEGs to measure with")
    parser.add_argument(
        "--records", type=int, default=50_000, help="entries and crops without images, at least 10000"
    )
    parser.add_argument("--cores", default="8", help="of each host, or several numbers with commas")
    parser.add_argument("--gb-per-s", type=float, default=1.0, help="of the store, for all hosts together")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="bench-plan-") as scratch:
        costs = measure(options.images, options.records, Path(scratch))
    print_costs(costs)
    for cores in map(int, options.cores.split(",")):
        print_plan(costs, cores, options.gb_per_s)
    print_scheduler(costs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
