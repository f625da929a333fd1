"""The files of a crop plan: one list of images for each shard, what was rejected, and the record plan.json."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict, cast

from data.atomic_files import atomic_file, jsonl_line, read_json, read_jsonl, write_json, write_jsonl
from data.record_json import from_plain, to_plain
from data.records import SCHEMA, PlannedSource, Rejection
from data.shards import shard_name
from pipeline.index import REJECTIONS
from pipeline.rejection_counts import RejectionCounter

RECORD = "plan.json"


class PlannedShard(TypedDict):
    """A shard as plan.json lists it."""

    name: str
    split: str
    sources: int
    crops: int


def write_plan(planned: Iterable[PlannedSource], rejections: Iterable[Rejection], out_dir: Path) -> None:
    """Write a plan: one file for each shard in shards/, rejections.jsonl and, last, plan.json."""
    shards: list[PlannedShard] = []
    groups: set[str] = set()
    by_shard = itertools.groupby(planned, key=lambda source: (source.split, source.shard))
    for (split, shard), members in by_shard:
        name, sources, crops = shard_name(split, shard), 0, 0
        with atomic_file(out_dir / "shards" / f"{name}.jsonl") as file:
            for one in members:
                file.write(jsonl_line(to_plain(one)))
                sources, crops = sources + 1, crops + one.crops
                groups.add(one.entry.group)
        shards.append({"name": name, "split": split, "sources": sources, "crops": crops})
    counter = RejectionCounter()
    write_jsonl(out_dir / REJECTIONS, map(to_plain, counter.count_each(rejections)))
    totals = {
        "sources": sum(shard["sources"] for shard in shards),
        "crops": sum(shard["crops"] for shard in shards),
        "groups": len(groups),
        "rejected": counter.total,
    }
    record = {"schema": SCHEMA, "shards": shards, "totals": totals, "rejections": counter.by_reason}
    write_json(out_dir / RECORD, record)


def read_plan_shard(plan_dir: Path, shard: str) -> list[PlannedSource]:
    """Return the planned sources of one shard, in packing order."""
    path = plan_dir / "shards" / f"{shard}.jsonl"
    return [from_plain(PlannedSource, value, str(path)) for value in read_jsonl(path)]


def read_planned_shards(plan_dir: Path) -> list[PlannedShard]:
    """Return name, split and numbers of sources and crops of every shard of a plan."""
    return cast(list[PlannedShard], read_plan_record(plan_dir)["shards"])


def read_plan_record(plan_dir: Path) -> dict[str, Any]:
    """Return the content of plan.json: `shards`, `totals` and `rejections`."""
    return cast(dict[str, Any], read_json(plan_dir / RECORD))
