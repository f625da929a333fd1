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
from data.records import SCHEMA, Box, PlannedCrop, PlannedSource, Reason, Rejection, SourceEntry
from data.shards import shard_name
from pipeline.boxes import grid_boxes, pack_boxes
from pipeline.index import REJECTIONS, count_reasons

RECORD = "plan.json"
LARGEST_SHARDS = 2000
"""Scheduling cost grows with the number of tasks, so a large dataset gets larger shards, not more."""
_KEY_DIGITS = 16


POLICIES = ("random", "grid", "best")


@dataclasses.dataclass(frozen=True)
class PlanSettings:
    """What a plan depends on, besides the index."""

    policy: str
    """random: as many boxes as fit, without overlap; grid: regular; best: where most detail is, found while packing."""
    size_px: int
    """Side of the square crops."""
    shrinks: tuple[int, ...]
    """Reductions to crop at; for lossy sources each is doubled, so their artefacts are averaged away."""
    max_per_source: int
    """Crops of one picture at the most; 0 for no limit. Under `best` it is how many are looked for."""
    grid_step_px: int
    """Under `grid`: from one crop to the next."""
    grid_rest_px: int
    """Under `grid`: a rest at the far edge of so many pixels or fewer gets no crop of its own."""
    largest_px: int
    """Pictures of more pixels are rejected: a packing process needs some 5 bytes of memory a pixel."""
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
            ("policy", self.policy in POLICIES, f"one of {', '.join(POLICIES)}"),
            ("size_px", 16 <= self.size_px <= 8192, "from 16 to 8192"),
            ("shrinks", bool(self.shrinks) and min(self.shrinks) >= 1, "whole numbers of at least 1"),
            ("max_per_source", self.max_per_source >= 0, "0 or more"),
            (
                "max_per_source",
                self.policy != "best" or self.max_per_source,
                "1 or more under the policy best",
            ),
            ("grid_step_px", self.grid_step_px >= 1, "1 or more"),
            ("grid_rest_px", self.grid_rest_px >= 0, "0 or more"),
            ("largest_px", self.largest_px >= 1, "1 or more"),
            ("validation_fraction", 0 <= self.validation_fraction < 1, "from 0 to below 1"),
            ("crops_per_shard", self.crops_per_shard >= 1, "1 or more"),
        ]
        for name, holds, expected in rules:
            if not holds:
                remedy = "mend it in luigi.cfg or on the command line"
                raise UserError(expected, repr(getattr(self, name)), f"[crops] {name}", remedy)


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """What is to be made of one picture: these crops, or so many as the packer finds."""

    entry: SourceEntry
    crops: tuple[PlannedCrop, ...]
    best: int

    @property
    def count(self) -> int:
        return self.best or len(self.crops)


def key_stem(entry: SourceEntry) -> str:
    """Return what the keys of a picture's crops begin with."""
    return entry.sha256[:_KEY_DIGITS]


def plan_source(entry: SourceEntry, settings: PlanSettings) -> tuple[PlannedCrop, ...]:
    """Return the crops of one picture, the largest reduction last; empty when none fits."""
    crops = []
    for shrink in reductions(entry, settings.shrinks):
        for box in _boxes(entry, shrink, settings):
            key = f"{key_stem(entry)}-{shrink}-{len(crops):04d}"
            crops.append(PlannedCrop(key=key, shrink=shrink, box=box))
    if settings.max_per_source and len(crops) > settings.max_per_source:
        chosen = generator("cap", settings.seed, entry.sha256).permutation(len(crops))[
            : settings.max_per_source
        ]
        crops = [crops[place] for place in sorted(chosen)]
    return tuple(crops)


def _boxes(entry: SourceEntry, shrink: int, settings: PlanSettings) -> list[Box]:
    height, width = entry.height // shrink, entry.width // shrink
    if settings.policy == "grid":
        return grid_boxes(height, width, settings.size_px, settings.grid_step_px, settings.grid_rest_px)
    stream = generator("boxes", settings.seed, entry.sha256, shrink)
    return pack_boxes(height, width, settings.size_px, stream)


def _best_count(entry: SourceEntry, settings: PlanSettings) -> int:
    """Return how many crops the packer may find: as many as are asked for, but no more than fit."""
    size_px = settings.size_px
    fitting = sum(
        (entry.height // factor // size_px) * (entry.width // factor // size_px)
        for factor in reductions(entry, settings.shrinks)
    )
    return min(settings.max_per_source, fitting)


def reductions(entry: SourceEntry, shrinks: tuple[int, ...]) -> list[int]:
    """Return the reductions that a picture is cropped at, the smallest first: doubled where it is lossy."""
    return sorted(shrink * (2 if entry.lossy else 1) for shrink in set(shrinks))


def _want(entry: SourceEntry, settings: PlanSettings) -> _Wanted | Rejection:
    """Return what is to be made of a picture, or why it is nothing."""
    size = f"{entry.width}x{entry.height}"
    if entry.width * entry.height > settings.largest_px:
        detail = f"{size}; at most {settings.largest_px} pixels are read ([crops] largest_mpx)"
        return Rejection(entry.id, "plan", Reason.TOO_LARGE, detail)
    if settings.policy == "best":
        wanted = _Wanted(entry, (), _best_count(entry, settings))
    else:
        wanted = _Wanted(entry, plan_source(entry, settings), 0)
    if wanted.count:
        return wanted
    least = reductions(entry, settings.shrinks)[0] * settings.size_px
    kind = "lossy: " if entry.lossy else ""
    detail = f"{size}; {kind}at least {least} a side is needed"
    return Rejection(entry.id, "plan", Reason.TOO_SMALL, detail)


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
    groups: dict[str, list[_Wanted]] = {}
    rejections = []
    largest = (0, 0)
    for entry in entries:
        wanted = _want(entry, settings)
        if isinstance(wanted, Rejection):
            rejections.append(wanted)
            largest = max(largest, (entry.width, entry.height), key=min)
        else:
            groups.setdefault(entry.group, []).append(wanted)
    if not groups:
        expected = f"at least one picture that a {settings.size_px}x{settings.size_px} crop fits into"
        found = f"none (largest {largest[0]}x{largest[1]}; {count_reasons(rejections)})"
        raise UserError(expected, found, f"dataset {name}", "lower [crops] size_px")
    ordered = sorted(groups, key=lambda group: (number("order", settings.seed, group), group))
    cut = min(math.ceil(len(ordered) * settings.validation_fraction), len(ordered) - 1)
    planned = []
    for split, names in (("train", ordered[cut:]), ("validation", ordered[:cut])):
        planned += _into_shards([groups[group] for group in names], split, settings.crops_per_shard)
    return planned, rejections


def _into_shards(groups: list[list[_Wanted]], split: str, crops_per_shard: int) -> list[PlannedSource]:
    """Cut a split into shards of nearly equal numbers of crops, groups whole."""
    sizes = [sum(wanted.count for wanted in group) for group in groups]
    total = sum(sizes)
    shards = min(max(1, round(total / crops_per_shard)), LARGEST_SHARDS)
    planned, before, shard, seen = [], 0, -1, -1
    for group, size in zip(groups, sizes, strict=True):
        place = before * shards // total
        if place != seen:
            shard, seen = shard + 1, place
        planned += [PlannedSource(one.entry, split, shard, one.crops, one.best) for one in group]
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
        crops = sum(source.best or len(source.crops) for source in members)
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
