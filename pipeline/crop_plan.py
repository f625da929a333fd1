"""Plan the crops of a dataset from its index alone: how many of which image go into which shard.

Where they are cut is left to the packer, which has the pixels: the boxes of an image follow from the seed and its
content, so copies of an image get the same boxes, and adding an image moves no box of another. The index is read twice:
once to count crops and once to write the plan. Memory grows only with the group names and a few numbers for each image.
"""

import array
import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from data.catalog.spec import is_group, name_group
from data.errors import UserError
from data.hashing import generator, number
from data.records import Box, PlannedCrop, PlannedSource, Rejection, RejectionReason, SourceEntry
from pipeline.crop_boxes import place_grid_boxes, place_random_boxes
from pipeline.crop_policies import POLICIES
from pipeline.rejection_counts import RejectionCounter, format_counts

RECORD = "plan.json"
MAX_SHARDS = 2000
"""Scheduling cost grows with the number of tasks, so a large dataset gets larger shards instead of more shards."""
_KEY_DIGITS = 16


@dataclasses.dataclass(frozen=True)
class PlanSettings:
    """Everything a plan depends on besides the index."""

    policy: str
    """A name in `pipeline.crop_policies.POLICIES`."""
    size_px: int
    """Side of the square crops."""
    downscale_factors: tuple[int, ...]
    """Crops are cut from the image downscaled by each of these factors. Factors are doubled for lossy sources, so that
    their compression artifacts are averaged away."""
    max_crops_per_image: int
    """Largest number of crops of one image; 0 for no limit. With the policy `best`, the number to look for."""
    grid_step_px: int
    """Distance between neighboring crops with the policy `grid`."""
    grid_min_rest_px: int
    """With the policy `grid`: a rest of this many pixels or fewer at the far edge gets no crop of its own."""
    max_pixels: int
    """Images with more pixels are rejected: packing needs about 5 bytes of memory per pixel."""
    validation_fraction: float
    """Share of the groups used for validation: at least 0, below 1."""
    crops_per_shard: int
    """Approximate number of crops in a shard."""
    seed: int
    group: str = "image"
    """Which images stay in one split, where their names tell: see `data.catalog.spec.DatasetSpec.group`."""

    def check(self) -> None:
        """Validate the settings.

        Raises:
            UserError: a value is invalid. The message says which one and what it must be.
        """
        rules: list[tuple[str, bool, str]] = [
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
                self.policy != "best" or self.max_crops_per_image > 0,
                "1 or more with the policy best",
            ),
            ("grid_step_px", self.grid_step_px >= 1, "1 or more"),
            ("grid_min_rest_px", self.grid_min_rest_px >= 0, "0 or more"),
            ("max_pixels", self.max_pixels >= 1, "1 or more"),
            ("validation_fraction", 0 <= self.validation_fraction < 1, "at least 0 and below 1"),
            ("crops_per_shard", self.crops_per_shard >= 1, "1 or more"),
            (
                "group",
                is_group(self.group),
                "image, folder, or an expression with one group, as in (shot[0-9]+)",
            ),
        ]
        for name, is_valid, requirement in rules:
            if not is_valid:
                raise UserError(
                    f"[crops] {name} is {getattr(self, name)!r}, but it must be {requirement}",
                    f"Change it in luigi.cfg or with --crops-{name.replace('_', '-')}",
                )


def make_key_stem(entry: SourceEntry) -> str:
    """Return the common beginning of the keys of an image's crops."""
    return entry.sha256[:_KEY_DIGITS]


def place_crops(entry: SourceEntry, content: str, settings: PlanSettings) -> tuple[PlannedCrop, ...]:
    """Return the crops of one image, in order of the downscale factor. Empty if none fits.

    Args:
        entry: the image.
        content: digest of its content. Images of one content and size get the same boxes.
        settings: the policy random or grid.
    """
    crops: list[PlannedCrop] = []
    for factor in source_factors(entry, settings.downscale_factors):
        for box in _place_boxes(entry, factor, content, settings):
            key = f"{make_key_stem(entry)}-{factor}-{len(crops):04d}"
            crops.append(PlannedCrop(key=key, downscale_factor=factor, box=box))
    limit = settings.max_crops_per_image
    if limit and len(crops) > limit:
        chosen = generator("cap", settings.seed, content).permutation(len(crops))[:limit]
        crops = [crops[place] for place in sorted(chosen)]
    return tuple(crops)


def _place_boxes(entry: SourceEntry, factor: int, content: str, settings: PlanSettings) -> list[Box]:
    height, width = entry.height // factor, entry.width // factor
    if settings.policy == "grid":
        return place_grid_boxes(
            height, width, settings.size_px, settings.grid_step_px, settings.grid_min_rest_px
        )
    stream = generator("boxes", settings.seed, content, factor)
    return place_random_boxes(height, width, settings.size_px, stream)


def count_crops(entry: SourceEntry, settings: PlanSettings) -> int:
    """Return how many crops one image gives, without placing them. 0 if it is too small or too large."""
    if entry.width * entry.height > settings.max_pixels:
        return 0
    size_px, fitting = settings.size_px, 0
    for factor in source_factors(entry, settings.downscale_factors):
        if settings.policy == "grid":
            fitting += len(_place_boxes(entry, factor, "", settings))
        else:
            fitting += (entry.height // factor // size_px) * (entry.width // factor // size_px)
    return min(settings.max_crops_per_image or fitting, fitting)


def source_factors(entry: SourceEntry, downscale_factors: tuple[int, ...]) -> list[int]:
    """Return the downscale factors for one image, in ascending order. They are doubled if the image is lossy."""
    return sorted(factor * (2 if entry.lossy else 1) for factor in set(downscale_factors))


def _explain_rejection(entry: SourceEntry, settings: PlanSettings) -> Rejection:
    """Return the reason why an image gives no crop."""
    size = f"{entry.width}x{entry.height}"
    if entry.width * entry.height > settings.max_pixels:
        detail = f"{size}; at most {settings.max_pixels} pixels are read ([crops] max_megapixels)"
        return Rejection(entry.id, "plan", RejectionReason.TOO_LARGE, detail)
    min_side_px = source_factors(entry, settings.downscale_factors)[0] * settings.size_px
    kind = "lossy: " if entry.lossy else ""
    detail = f"{size}; {kind}each side must be at least {min_side_px}"
    return Rejection(entry.id, "plan", RejectionReason.TOO_SMALL, detail)


def plan_dataset(
    entries: Sequence[SourceEntry], settings: PlanSettings, name: str
) -> tuple[Iterator[PlannedSource], Iterator[Rejection]]:
    """Count all crops, split them into training and validation, and distribute them over shards.

    Groups are ordered by a hash. The first ones become the validation split, but for one with more than half of all
    crops. Each split is divided into shards of about `crops_per_shard` crops. A group is never divided.

    Args:
        entries: the index of the dataset.
        settings: settings of the plan.
        name: name of the dataset, for errors.

    Returns:
        The planned sources in shard order, and the images that give no crop. Both are generated lazily.

    Raises:
        UserError: the settings are invalid, or no image gives a crop.
    """
    settings.check()
    _check_group(entries, settings.group, name)
    counts = array.array("L")
    groups: dict[str, list[int]] = {}
    for place, entry in enumerate(entries):
        counts.append(count_crops(entry, settings))
        if counts[place]:
            groups.setdefault(_regroup(entry, settings.group).group, []).append(place)
    rejections = (
        _explain_rejection(entries[place], settings) for place, count in enumerate(counts) if not count
    )
    if not groups:
        raise _no_crop_error(entries, rejections, settings, name)
    training, validation = _split_groups(groups, counts, settings)
    planned = (
        PlannedSource(_regroup(entries[place], settings.group), split, shard, counts[place])
        for split, names in (("train", training), ("validation", validation))
        for place, shard in _assign_shards(
            [groups[group] for group in names], counts, settings.crops_per_shard
        )
    )
    return planned, rejections


def _split_groups(
    groups: Mapping[str, Sequence[int]], counts: Sequence[int], settings: PlanSettings
) -> tuple[list[str], list[str]]:
    """Return the groups for training and those for validation, each in an order that the seed fixes.

    A group with more than half of all crops is for training, or a folder of few large groups might train on the least.
    """
    ordered = sorted(groups, key=lambda group: (number("order", settings.seed, group), group))
    cut = min(math.ceil(len(ordered) * settings.validation_fraction), len(ordered) - 1)
    half = sum(counts) / 2
    fitting = (group for group in ordered if sum(counts[place] for place in groups[group]) <= half)
    validation = list(itertools.islice(fitting, cut))
    chosen = set(validation)
    return [group for group in ordered if group not in chosen], validation


def _regroup(entry: SourceEntry, group: str) -> SourceEntry:
    """Return an entry with the group that its name has, if it has one."""
    return dataclasses.replace(entry, group=name_group(entry.id, group) or entry.group)


def _check_group(entries: Sequence[SourceEntry], group: str, name: str) -> None:
    if group != "image" and entries and not any(name_group(entry.id, group) for entry in entries):
        why = "all lie in one folder" if group == "folder" else f"the first is {entries[0].id}"
        message = (
            f"[crops] group is {group!r}, but the name of no image of dataset {name} has such a group: {why}"
        )
        raise UserError(message, "Give image, folder, or an expression that is found in their paths")


def _no_crop_error(
    entries: Sequence[SourceEntry], rejections: Iterable[Rejection], settings: PlanSettings, name: str
) -> UserError:
    width, height = max(((one.width, one.height) for one in entries), key=min, default=(0, 0))
    return UserError(
        f"Dataset {name} has no image that a {settings.size_px}x{settings.size_px} crop fits into. The largest is "
        f"{width}x{height}; rejected: {format_counts(RejectionCounter(rejections).by_reason)}",
        "Lower [crops] size_px",
    )


def _assign_shards(
    groups: list[list[int]], counts: Sequence[int], crops_per_shard: int
) -> Iterator[tuple[int, int]]:
    """Divide a split into shards with nearly equal numbers of crops, without dividing a group.

    Args:
        groups: for each group, the positions of its entries in the index.
        counts: number of crops of each entry.
        crops_per_shard: approximate number of crops in a shard.

    Yields:
        Position in the index, and number of the shard.
    """
    total = sum(counts[place] for group in groups for place in group)
    shards = min(max(1, round(total / crops_per_shard)), MAX_SHARDS)
    crops_before, shard, last_part = 0, -1, -1
    for group in groups:
        part = crops_before * shards // total
        if part != last_part:
            shard, last_part = shard + 1, part
        yield from ((place, shard) for place in group)
        crops_before += sum(counts[place] for place in group)
