"""Plan the crops of a dataset from its index alone: which boxes of which picture, in which shard.

Everything follows from the seed and each picture's own hash, so one more picture moves no box of another.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable
from pathlib import Path

from data.digests import generator, number
from data.errors import UserError
from data.files import read_json, read_jsonl, write_json, write_jsonl
from data.plain import from_plain, to_plain
from data.records import SCHEMA, PlannedCrop, PlannedSource, Reason, Rejection, SourceEntry
from data.shards import shard_name
from pipeline.boxes import pack_boxes
from pipeline.index import REJECTIONS, count_reasons

RECORD = "plan.json"
LARGEST_SHARDS = 2000
"""Scheduling cost grows with the number of tasks, so a large dataset gets larger shards, not more."""
_KEY_DIGITS = 16


@dataclasses.dataclass(frozen=True)
class PlanSettings:
    """What a plan depends on, besides the index."""

    size_px: int
    """Side of the square crops."""
    shrinks: tuple[int, ...]
    """Reductions to crop at; for lossy sources each is doubled, so their artefacts are averaged away."""
    max_per_source: int
    """Crops of one picture at the most; 0 for no limit."""
    validation_fraction: float
    """Share of the groups that validates, 0 to below 1."""
    crops_per_shard: int
    seed: int

    def check(self) -> None:
        """Refuse values that make no plan.

        Raises:
            UserError: which one, and what it must be.
        """
        rules = [
            ("size_px", self.size_px, 16 <= self.size_px <= 8192, "from 16 to 8192"),
            (
                "shrinks",
                self.shrinks,
                bool(self.shrinks) and min(self.shrinks) >= 1,
                "whole numbers of at least 1",
            ),
            ("max_per_source", self.max_per_source, self.max_per_source >= 0, "0 or more"),
            (
                "validation_fraction",
                self.validation_fraction,
                0 <= self.validation_fraction < 1,
                "from 0 to below 1",
            ),
            ("crops_per_shard", self.crops_per_shard, self.crops_per_shard >= 1, "1 or more"),
        ]
        for name, value, holds, expected in rules:
            if not holds:
                raise UserError(
                    expected, repr(value), f"[crops] {name}", "mend it in luigi.cfg or on the command line"
                )


def plan_source(entry: SourceEntry, settings: PlanSettings) -> tuple[PlannedCrop, ...]:
    """Return the crops of one picture, the largest reduction last; empty when none fits."""
    crops = []
    for shrink in sorted(shrink * (2 if entry.lossy else 1) for shrink in set(settings.shrinks)):
        stream = generator("boxes", settings.seed, entry.sha256, shrink)
        for box in pack_boxes(entry.height // shrink, entry.width // shrink, settings.size_px, stream):
            key = f"{entry.sha256[:_KEY_DIGITS]}-{shrink}-{len(crops):04d}"
            crops.append(PlannedCrop(key=key, shrink=shrink, box=box))
    if settings.max_per_source and len(crops) > settings.max_per_source:
        chosen = generator("cap", settings.seed, entry.sha256).permutation(len(crops))[
            : settings.max_per_source
        ]
        crops = [crops[place] for place in sorted(chosen)]
    return tuple(crops)


def plan_dataset(
    entries: Iterable[SourceEntry], settings: PlanSettings, name: str
) -> tuple[list[PlannedSource], list[Rejection]]:
    """Plan all crops, split them and spread them over shards.

    Groups are put in the order of a hash, the first of them validate, and each split is cut into shards of about
    `crops_per_shard` crops; a group is never divided.

    Returns:
        The planned sources in shard order, and what gives no crop.

    Raises:
        UserError: settings make no sense, or not one picture gives a crop.
    """
    settings.check()
    groups: dict[str, list[tuple[SourceEntry, tuple[PlannedCrop, ...]]]] = {}
    rejections = []
    largest = (0, 0)
    for entry in entries:
        crops = plan_source(entry, settings)
        if crops:
            groups.setdefault(entry.group, []).append((entry, crops))
        else:
            least = min(settings.shrinks) * (2 if entry.lossy else 1) * settings.size_px
            kind = "lossy: " if entry.lossy else ""
            detail = f"{entry.width}x{entry.height}; {kind}at least {least} a side is needed"
            rejections.append(Rejection(entry.id, "plan", Reason.TOO_SMALL, detail))
            largest = max(largest, (entry.width, entry.height), key=min)
    if not groups:
        expected = f"at least one picture that a {settings.size_px}x{settings.size_px} crop fits into"
        raise UserError(
            expected, f"none (largest {largest[0]}x{largest[1]})", f"dataset {name}", "lower [crops] size_px"
        )
    ordered = sorted(groups, key=lambda group: (number("order", settings.seed, group), group))
    cut = min(math.ceil(len(ordered) * settings.validation_fraction), len(ordered) - 1)
    planned = []
    for split, names in (("train", ordered[cut:]), ("validation", ordered[:cut])):
        planned += _into_shards([groups[group] for group in names], split, settings.crops_per_shard)
    return planned, rejections


def _into_shards(
    groups: list[list[tuple[SourceEntry, tuple[PlannedCrop, ...]]]], split: str, crops_per_shard: int
) -> list[PlannedSource]:
    """Cut a split into shards of nearly equal numbers of crops, groups whole."""
    sizes = [sum(len(crops) for _, crops in group) for group in groups]
    total = sum(sizes)
    shards = min(max(1, round(total / crops_per_shard)), LARGEST_SHARDS)
    planned, before, shard, seen = [], 0, -1, -1
    for group, size in zip(groups, sizes, strict=True):
        wanted = before * shards // total
        if wanted != seen:
            shard, seen = shard + 1, wanted
        planned += [PlannedSource(entry, split, shard, crops) for entry, crops in group]
        before += size
    return planned


def write_plan(planned: list[PlannedSource], rejections: list[Rejection], out_dir: Path) -> None:
    """Write a plan: a file a shard under shards/, rejections.jsonl and, last, plan.json."""
    shards = []
    for (split, shard), sources in itertools.groupby(
        planned, key=lambda source: (source.split, source.shard)
    ):
        members = list(sources)
        title = shard_name(split, shard)
        write_jsonl(out_dir / "shards" / f"{title}.jsonl", map(to_plain, members))
        crops = sum(len(source.crops) for source in members)
        shards.append({"name": title, "split": split, "sources": len(members), "crops": crops})
    write_jsonl(out_dir / REJECTIONS, map(to_plain, rejections))
    totals = {
        "sources": len(planned),
        "crops": sum(shard["crops"] for shard in shards),
        "rejected": len(rejections),
    }
    record = {"schema": SCHEMA, "shards": shards, "totals": totals, "rejections": count_reasons(rejections)}
    write_json(out_dir / RECORD, record)


def read_plan_shard(plan_dir: Path, shard: str) -> list[PlannedSource]:
    """Return the planned sources of one shard, in the order in which they are packed."""
    path = plan_dir / "shards" / f"{shard}.jsonl"
    return [from_plain(PlannedSource, value, str(path)) for value in read_jsonl(path)]


def planned_shards(plan_dir: Path) -> list[dict]:
    """Return name, split, sources and crops of every shard of a plan."""
    return read_json(plan_dir / RECORD)["shards"]
