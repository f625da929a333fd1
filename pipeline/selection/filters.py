"""The filters of a selection, in their order: leakage, rules, copies, near-duplicates, caps.

Parts of benchmark images go out after leakage, parts of validation images after copies.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from data.records import RejectionReason
from pipeline.selection.caps import apply_caps
from pipeline.selection.copies import SourceTable, list_sources
from pipeline.selection.crop_table import CropTable
from pipeline.selection.duplicate_filter import reject_duplicate_parts
from pipeline.selection.groups import find_groups, keep_groups_together
from pipeline.selection.hamming import Rows, find_near_duplicates
from pipeline.selection.leakage import BenchmarkHashes, find_leaks
from pipeline.selection.part_records import ShownPart, read_parts
from pipeline.selection.rules import Rule
from pipeline.selection.selection import Selection
from pipeline.selection.settings import SelectionSettings

LEAKAGE, COPIES, NEAR_DUPLICATES = "leakage_bits", "copy_bits", "near_duplicate_bits"
"""Names of the filters that compare images: the keys of [selection] that hold their thresholds."""
BENCHMARK_PARTS, VALIDATION_PARTS = "parts: benchmarks", "parts: validation"
"""Names of the filters that compare parts of images: [selection] parts, against benchmarks and against validation."""


def filter_crops(crops: CropTable, benchmarks: BenchmarkHashes, settings: SelectionSettings) -> Selection:
    """Reject leaked crops, those that break a rule, copies, nearly equal ones, then those above the caps.

    Of several near duplicates the first one is kept: a validation crop before a training crop. Once copies are known,
    groups of images are moved to one side of the split.

    Args:
        crops: the crops of all datasets.
        benchmarks: hashes of the benchmark images.
        settings: thresholds.
    """
    selection = Selection(crops)
    _reject_leaks(selection, benchmarks, settings.leakage_bits)
    shown = read_parts(settings.parts) if settings.parts else None
    if shown is not None:
        _reject_parts(selection, shown, BENCHMARK_PARTS, RejectionReason.LEAKAGE)
    for rule in settings.rules:
        _apply_rule(selection, rule)
    _reject_copies_and_group(selection, settings)
    if shown is not None:
        _reject_parts(selection, shown, VALIDATION_PARTS, RejectionReason.SHOWS_VALIDATION)
    if settings.near_duplicate_bits >= 0:
        _reject_near_duplicates(selection, settings.near_duplicate_bits)
    if settings.duplicates:
        reject_duplicate_parts(selection, settings.duplicates)
    apply_caps(selection, settings, training=True)
    apply_caps(selection, settings, training=False)
    return selection


def find_movable(
    crops: CropTable, benchmarks: BenchmarkHashes, settings: SelectionSettings
) -> npt.NDArray[np.bool_]:
    """Return which crops have a group that stands on both sides of the split: they may end up on either.

    Args:
        crops, benchmarks, settings: as for `filter_crops`; rules are not looked at.
    """
    selection, training = Selection(crops), crops.training.copy()
    _reject_leaks(selection, benchmarks, settings.leakage_bits)
    _reject_copies_and_group(selection, settings)
    crops.set_training(training)
    movable = np.isin(selection.groups, np.unique(selection.groups[selection.moved]))
    return movable & selection.selected


def _reject_leaks(selection: Selection, benchmarks: BenchmarkHashes, bits: int) -> None:
    leaks = find_leaks(selection.crops, benchmarks, bits)
    rows = np.array(sorted(leaks), np.int64)
    sources = selection.crops.texts("source", rows)
    likes = [leaks[row] for row in rows.tolist()]
    details = [f"{source} is the same image as {like}" for source, like in zip(sources, likes, strict=True)]
    selection.reject(LEAKAGE, RejectionReason.LEAKAGE, rows, details, likes)


def _reject_parts(
    selection: Selection, shown: Sequence[ShownPart], name: str, reason: RejectionReason
) -> None:
    """Reject the crops that show parts of benchmark images; or of validation images, if they are for training.

    Images that have changed to training with their group may be shown.
    """
    of_benchmarks = reason is RejectionReason.LEAKAGE
    wanted = [one for one in shown if one.benchmark == of_benchmarks]
    places = [(one.dataset, one.key) for one in wanted] + [(one.like_dataset, one.like) for one in wanted]
    row_of = selection.crops.find_rows(places)
    training, found = selection.crops.training, []
    for one in wanted:
        row, like = row_of[one.dataset, one.key], row_of.get((one.like_dataset, one.like), -1)
        if selection.selected[row] and (of_benchmarks or (training[row] and not training[like])):
            found.append((row, one))
    selection.reject(
        name,
        reason,
        np.array([row for row, _ in found], np.int64),
        [_explain_part(part) for _, part in found],
        [part.like or part.target for _, part in found],
    )


def _explain_part(part: ShownPart) -> str:
    where = f"as another crop of it does, {part.by}, " if part.by else ""
    target = f"the validation image {part.target}" if part.like else part.target
    if part.similarity:
        return f"{part.source} shows a part of {target}: their embeddings have a similarity of {part.similarity:g}"
    return f"{part.source} shows a part of {target}: {where}{part.inliers} features agree"


def _apply_rule(selection: Selection, rule: Rule) -> None:
    values = selection.crops.numbers(rule.metric)
    threshold = rule.threshold(values)
    rows = np.flatnonzero(selection.selected & ~rule.passes(values))
    sources = selection.crops.texts("source", rows)
    details = [
        f"{source}: {rule.explain(value, threshold)}"
        for source, value in zip(sources, values[rows].tolist(), strict=True)
    ]
    selection.reject(str(rule), RejectionReason.LOW_QUALITY, rows, details)


def _reject_copies_and_group(selection: Selection, settings: SelectionSettings) -> None:
    if settings.copy_bits < 0 and settings.group_bits < 0 and not settings.max_per_group:
        return
    rows = selection.rows
    sources = list_sources(selection.crops, rows)
    copied = sources.find_copies(settings.copy_bits)
    if settings.copy_bits >= 0:
        _reject_copies(selection, rows, sources, copied)
    selection.groups[rows] = find_groups(sources, copied, settings.group_bits)[sources.of_crop]
    if settings.group_bits >= 0:
        keep_groups_together(selection, sources, settings.seed)


def _reject_copies(selection: Selection, rows: Rows, sources: SourceTable, copies: Rows) -> None:
    original = copies[sources.of_crop]
    copied = original >= 0
    details = [
        f"{sources.names[source]} is a copy of {sources.names[kept]}"
        for source, kept in zip(sources.of_crop[copied].tolist(), original[copied].tolist(), strict=True)
    ]
    keys = selection.crops.texts("key", sources.first_crops(rows))
    likes = [keys[kept] for kept in original[copied].tolist()]
    selection.reject(COPIES, RejectionReason.NEAR_DUPLICATE, rows[copied], details, likes)


def _reject_near_duplicates(selection: Selection, bits: int) -> None:
    candidates = selection.crops.validation_first(selection.rows)
    near = find_near_duplicates(selection.crops.hashes()[candidates], bits)
    twins = selection.crops.texts("key", candidates[near[near >= 0]])
    selection.reject(
        NEAR_DUPLICATES,
        RejectionReason.NEAR_DUPLICATE,
        candidates[near >= 0],
        [f"nearly the same as {twin}" for twin in twins],
        twins,
    )
