"""Count rejections by reason, and fail a dataset with too many damaged images.

A dataset may reject millions of images. Only a number for each reason is kept in memory, and the first few damaged
images for the error message.
"""

import collections
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from data.errors import UserError
from data.records import DAMAGED_SOURCE_REASONS, Rejection, RejectionReason

_EXAMPLES = 5
_UNDAMAGED_REASONS = frozenset(
    {RejectionReason.TOO_SMALL, RejectionReason.TOO_LARGE, RejectionReason.DUPLICATE}
)
"""Reasons for which the index rejects images that are not damaged."""


class RejectionCounter:
    """Count rejections by reason.

    Args:
        rejections: the first rejections to count.
    """

    def __init__(self, rejections: Iterable[Rejection] = ()) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self.damaged: list[Rejection] = []
        """The first few damaged images, as examples for an error message."""
        for rejection in rejections:
            self.add(rejection)

    def add(self, rejection: Rejection) -> Rejection:
        """Count one rejection, and return it."""
        self._counts[str(rejection.reason)] += 1
        if rejection.reason in DAMAGED_SOURCE_REASONS and len(self.damaged) < _EXAMPLES:
            self.damaged.append(rejection)
        return rejection

    def count_each(self, rejections: Iterable[Rejection]) -> Iterator[Rejection]:
        """Yield the rejections, counting each one as it passes."""
        return map(self.add, rejections)

    @property
    def by_reason(self) -> dict[str, int]:
        """Number of rejections by reason, sorted by reason."""
        return dict(sorted(self._counts.items()))

    @property
    def total(self) -> int:
        """Number of rejections."""
        return self._counts.total()


def count_images(sources: int, reasons: Mapping[str, int]) -> int:
    """Return how many images an index found, used or not. The share of damaged images refers to this number.

    Args:
        sources: number of entries in the index.
        reasons: rejections of the index by reason.
    """
    return sources + sum(
        reasons.get(str(reason), 0) for reason in _UNDAMAGED_REASONS | DAMAGED_SOURCE_REASONS
    )


def is_within_budget(totals: Mapping[str, int], reasons: Mapping[str, int], max_bad_fraction: float) -> bool:
    """Return whether the share of damaged images is at most `max_bad_fraction`.

    Args:
        totals: has the number of `images`.
        reasons: rejections by reason.
        max_bad_fraction: from 0 to 1.
    """
    return _count_damaged(reasons) <= max_bad_fraction * totals["images"]


def check_budget(
    counter: RejectionCounter,
    totals: Mapping[str, int],
    max_bad_fraction: float,
    name: str,
    rejections_file: Path,
) -> None:
    """Fail if too many images of a dataset are damaged.

    Args:
        counter: all rejections so far.
        totals: has the number of `images`.
        max_bad_fraction: from 0 to 1.
        name: name of the dataset, for the error.
        rejections_file: the file that lists every rejection, for the error.

    Raises:
        UserError: more than this share of the images is unreadable or unsupported. The message has the reasons.
    """
    if is_within_budget(totals, counter.by_reason, max_bad_fraction):
        return
    damaged = _count_damaged(counter.by_reason)
    examples = "; ".join(f"{one.id}: {one.reason} ({one.detail})" for one in counter.damaged)
    more = f" and {damaged - len(counter.damaged)} more" if damaged > len(counter.damaged) else ""
    raise UserError(
        f"{damaged} of {totals['images']} images of dataset {name} are damaged, but at most {max_bad_fraction:.2%} may "
        f"be. All rejections: {format_counts(counter.by_reason)}; damaged: {examples}{more}",
        f"Repair or remove the images that {rejections_file} lists, or raise [crops] max_bad_fraction",
    )


def format_counts(reasons: Mapping[str, int]) -> str:
    """Return counts by reason as text, for example "3 too_small, 1 duplicate"."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def _count_damaged(reasons: Mapping[str, int]) -> int:
    return sum(reasons.get(str(reason), 0) for reason in DAMAGED_SOURCE_REASONS)
