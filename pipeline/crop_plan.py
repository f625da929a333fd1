"""Plan the crops of a dataset from its index alone: which boxes of which image, in which shard.

Everything follows from the seed and each image's own hash, so one more image moves no box of another. The index
is gone through twice, once to count crops and once to place them: memory grows with the name of each group and some
numbers for each image.
"""

import array
import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data.atomic_files import atomic_file, jsonl_line, read_json, read_jsonl, write_json, write_jsonl
from data.errors import UserError
from data.hashing import generator, number
from data.record_json import from_plain, to_plain
from data.records import SCHEMA, Box, PlannedCrop, PlannedSource, Reason, Rejection, SourceEntry
from data.shards import shard_name
from pipeline.crop_boxes import grid_boxes, pack_boxes
from pipeline.index import REJECTIONS
from pipeline.rejection_counts import Tally, worded

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
    downscale_factors: tuple[int, ...]
    """Reductions to crop at; for lossy sources each is doubled, so their artifacts are averaged away."""
    max_crops_per_image: int
    """Crops of one image at the most; 0 for no limit. Under `best` it is how many are looked for."""
    grid_step_px: int
    """Under `grid`: from one crop to the next."""
    grid_min_rest_px: int
    """Under `grid`: a rest at the far edge of so many pixels or fewer gets no crop of its own."""
    largest_px: int
    """Images of more pixels are rejected: a packing process needs some 5 bytes of memory a pixel."""
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
            (
                "downscale_factors",
                bool(self.downscale_factors) and min(self.downscale_factors) >= 1,
                "whole numbers of at least 1",
            ),
            ("max_crops_per_image", self.max_crops_per_image >= 0, "0 or more"),
            (
                "max_crops_per_image",
                self.policy != "best" or self.max_crops_per_image,
                "1 or more under the policy best",
            ),
            ("grid_step_px", self.grid_step_px >= 1, "1 or more"),
            ("grid_min_rest_px", self.grid_min_rest_px >= 0, "0 or more"),
            ("largest_px", self.largest_px >= 1, "1 or more"),
            ("validation_fraction", 0 <= self.validation_fraction < 1, "from 0 to below 1"),
            ("crops_per_shard", self.crops_per_shard >= 1, "1 or more"),
        ]
        for name, holds, expected in rules:
            if not holds:
                remedy = "mend it in luigi.cfg or on the command line"
                raise UserError(expected, repr(getattr(self, name)), f"[crops] {name}", remedy)


def key_stem(entry: SourceEntry) -> str:
    """Return what the keys of an image's crops begin with."""
    return entry.sha256[:_KEY_DIGITS]


def plan_source(entry: SourceEntry, settings: PlanSettings) -> tuple[PlannedCrop, ...]:
    """Return the crops of one image, the largest reduction last; empty when none fits."""
    crops = []
    for downscale_factor in reductions(entry, settings.downscale_factors):
        for box in _boxes(entry, downscale_factor, settings):
            key = f"{key_stem(entry)}-{downscale_factor}-{len(crops):04d}"
            crops.append(PlannedCrop(key=key, downscale_factor=downscale_factor, box=box))
    if settings.max_crops_per_image and len(crops) > settings.max_crops_per_image:
        chosen = generator("cap", settings.seed, entry.sha256).permutation(len(crops))[
            : settings.max_crops_per_image
        ]
        crops = [crops[place] for place in sorted(chosen)]
    return tuple(crops)


def _boxes(entry: SourceEntry, downscale_factor: int, settings: PlanSettings) -> list[Box]:
    height, width = entry.height // downscale_factor, entry.width // downscale_factor
    if settings.policy == "grid":
        return grid_boxes(height, width, settings.size_px, settings.grid_step_px, settings.grid_min_rest_px)
    stream = generator("boxes", settings.seed, entry.sha256, downscale_factor)
    return pack_boxes(height, width, settings.size_px, stream)


def count_crops(entry: SourceEntry, settings: PlanSettings) -> int:
    """Return how many crops one image gives, without placing them: 0 where it is too small or too large."""
    if entry.width * entry.height > settings.largest_px:
        return 0
    size_px, fitting = settings.size_px, 0
    for downscale_factor in reductions(entry, settings.downscale_factors):
        if settings.policy == "grid":
            fitting += len(_boxes(entry, downscale_factor, settings))
        else:
            fitting += (entry.height // downscale_factor // size_px) * (
                entry.width // downscale_factor // size_px
            )
    return min(settings.max_crops_per_image or fitting, fitting)


def reductions(entry: SourceEntry, downscale_factors: tuple[int, ...]) -> list[int]:
    """Return the reductions that an image is cropped at, the smallest first: doubled where it is lossy."""
    return sorted(downscale_factor * (2 if entry.lossy else 1) for downscale_factor in set(downscale_factors))


def _rejection(entry: SourceEntry, settings: PlanSettings) -> Rejection:
    """Return why an image gives no crop."""
    size = f"{entry.width}x{entry.height}"
    if entry.width * entry.height > settings.largest_px:
        detail = f"{size}; at most {settings.largest_px} pixels are read ([crops] max_megapixels)"
        return Rejection(entry.id, "plan", Reason.TOO_LARGE, detail)
    least = reductions(entry, settings.downscale_factors)[0] * settings.size_px
    kind = "lossy: " if entry.lossy else ""
    detail = f"{size}; {kind}at least {least} a side is needed"
    return Rejection(entry.id, "plan", Reason.TOO_SMALL, detail)


def plan_dataset(
    entries: Sequence[SourceEntry], settings: PlanSettings, name: str
) -> tuple[Iterator[PlannedSource], Iterator[Rejection]]:
    """Plan all crops, split them and spread them over shards.

    Groups are put in the order of a hash, the first of them validate, and each split is cut into shards of about
    `crops_per_shard` crops; a group is never divided.

    Returns:
        The planned sources in shard order, and what gives no crop: made as they are asked for.

    Raises:
        UserError: settings make no sense, or not one image gives a crop.
    """
    settings.check()
    counts = array.array("L")
    groups: dict[str, list[int]] = {}
    for place, entry in enumerate(entries):
        counts.append(count_crops(entry, settings))
        if counts[place]:
            groups.setdefault(entry.group, []).append(place)
    rejections = (_rejection(entries[place], settings) for place, count in enumerate(counts) if not count)
    if not groups:
        largest = max(((one.width, one.height) for one in entries), key=min, default=(0, 0))
        expected = f"at least one image that a {settings.size_px}x{settings.size_px} crop fits into"
        found = f"none (largest {largest[0]}x{largest[1]}; {worded(Tally(rejections).reasons)})"
        raise UserError(expected, found, f"dataset {name}", "lower [crops] size_px")
    ordered = sorted(groups, key=lambda group: (number("order", settings.seed, group), group))
    cut = min(math.ceil(len(ordered) * settings.validation_fraction), len(ordered) - 1)
    planned = (
        _planned(entries[place], split, shard, settings)
        for split, names in (("train", ordered[cut:]), ("validation", ordered[:cut]))
        for place, shard in _into_shards([groups[group] for group in names], counts, settings.crops_per_shard)
    )
    return planned, rejections


def _planned(entry: SourceEntry, split: str, shard: int, settings: PlanSettings) -> PlannedSource:
    if settings.policy == "best":
        return PlannedSource(entry, split, shard, (), count_crops(entry, settings))
    return PlannedSource(entry, split, shard, plan_source(entry, settings))


def _into_shards(
    groups: list[list[int]], counts: Sequence[int], crops_per_shard: int
) -> Iterator[tuple[int, int]]:
    """Cut a split into shards of nearly equal numbers of crops, groups whole.

    Args:
        groups: the places of their entries in the index.
        counts: the crops of each entry.
        crops_per_shard: about so many.

    Yields:
        Place and shard.
    """
    total = sum(counts[place] for group in groups for place in group)
    shards = min(max(1, round(total / crops_per_shard)), LARGEST_SHARDS)
    before, shard, seen = 0, -1, -1
    for group in groups:
        part = before * shards // total
        if part != seen:
            shard, seen = shard + 1, part
        yield from ((place, shard) for place in group)
        before += sum(counts[place] for place in group)


def write_plan(planned: Iterable[PlannedSource], rejections: Iterable[Rejection], out_dir: Path) -> None:
    """Write a plan: a file a shard under shards/, rejections.jsonl and, last, plan.json."""
    shards = []
    for (split, shard), members in itertools.groupby(
        planned, key=lambda source: (source.split, source.shard)
    ):
        title, sources, crops = shard_name(split, shard), 0, 0
        with atomic_file(out_dir / "shards" / f"{title}.jsonl") as file:
            for one in members:
                file.write(jsonl_line(to_plain(one)))
                sources, crops = sources + 1, crops + crops_of(one)
        shards.append({"name": title, "split": split, "sources": sources, "crops": crops})
    tally = Tally()
    write_jsonl(out_dir / REJECTIONS, map(to_plain, tally.through(rejections)))
    totals = {
        "sources": sum(shard["sources"] for shard in shards),
        "crops": sum(shard["crops"] for shard in shards),
        "rejected": tally.total,
    }
    record = {"schema": SCHEMA, "shards": shards, "totals": totals, "rejections": tally.reasons}
    write_json(out_dir / RECORD, record)


def crops_of(planned: PlannedSource) -> int:
    """Return how many crops are planned of a source, at the most."""
    return planned.best or len(planned.crops)


def read_plan_shard(plan_dir: Path, shard: str) -> list[PlannedSource]:
    """Return the planned sources of one shard, in the order in which they are packed."""
    path = plan_dir / "shards" / f"{shard}.jsonl"
    return [from_plain(PlannedSource, value, str(path)) for value in read_jsonl(path)]


def planned_shards(plan_dir: Path) -> list[dict]:
    """Return name, split, sources and crops of every shard of a plan."""
    return read_json(plan_dir / RECORD)["shards"]
