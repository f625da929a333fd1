"""Reject training crops that show the same as others of other images, see `pipeline.selection.part_duplicates`."""

from pathlib import Path

import numpy as np

from data.records import RejectionReason
from pipeline.selection.part_duplicates import read_duplicates
from pipeline.selection.selection import Selection

DUPLICATE_PARTS = "parts: duplicates"
"""Name of the filter: [selection] duplicate_parts."""


def reject_duplicate_parts(selection: Selection, directory: Path) -> None:
    """Keep of the training crops that show the same the first one that is still selected.

    Args:
        selection: what is selected.
        directory: with duplicates.jsonl.
    """
    found = read_duplicates(directory)
    places = [(one.dataset, one.key) for one in found] + [(one.like_dataset, one.like) for one in found]
    row_of = selection.crops.find_rows(places)
    wanted = selection.selected & selection.crops.training
    kinds: dict[int, list[tuple[int, str]]] = {}
    for one in found:
        row, like = row_of[one.dataset, one.key], row_of[one.like_dataset, one.like]
        detail = f"{one.inliers} features agree, {100 * one.overlap:.0f}% of it"
        kinds.setdefault(like, [(like, "")]).append((row, detail))
    rows: list[int] = []
    kept: list[int] = []
    details: list[str] = []
    for members in kinds.values():
        left = [(row, detail) for row, detail in members if wanted[row]]
        rows += [row for row, _ in left[1:]]
        kept += [left[0][0] for _ in left[1:]]
        details += [detail for _, detail in left[1:]]
    twins = selection.crops.texts("key", np.array(kept, np.int64))
    selection.reject(
        DUPLICATE_PARTS,
        RejectionReason.NEAR_DUPLICATE,
        np.array(rows, np.int64),
        [f"shows the same as {twin}: {detail}" for twin, detail in zip(twins, details, strict=True)],
        twins,
    )
