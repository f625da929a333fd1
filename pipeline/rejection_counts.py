"""Count what is thrown out without keeping it, and say whether too much of it was damaged.

A dataset may reject millions of images: what is kept of them is a number for each reason, and the first few damaged
ones for the error.
"""

import collections
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from data.errors import UserError
from data.records import BAD_SOURCE_REASONS, Reason, Rejection

_SHOWN = 5
_FINE_IMAGES = frozenset({Reason.TOO_SMALL, Reason.TOO_LARGE, Reason.DUPLICATE})
"""Reasons that an index has for images that are whole, and only not wanted."""


class Tally:
    """Rejections by reason.

    Args:
        rejections: those to begin with.
    """

    def __init__(self, rejections: Iterable[Rejection] = ()) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self.damaged: list[Rejection] = []
        """The first few that count against the budget."""
        for rejection in rejections:
            self.add(rejection)

    def add(self, rejection: Rejection) -> Rejection:
        """Count one, and return it."""
        self._counts[str(rejection.reason)] += 1
        if rejection.reason in BAD_SOURCE_REASONS and len(self.damaged) < _SHOWN:
            self.damaged.append(rejection)
        return rejection

    def through(self, rejections: Iterable[Rejection]) -> Iterator[Rejection]:
        """Yield them, each counted as it passes."""
        return map(self.add, rejections)

    @property
    def reasons(self) -> dict[str, int]:
        """How many there are for each reason, sorted by reason."""
        return dict(sorted(self._counts.items()))

    @property
    def total(self) -> int:
        """How many there are."""
        return self._counts.total()


def images(sources: int, reasons: Mapping[str, int]) -> int:
    """Return how many images an index has met, used or not: what the share of damaged ones is a share of.

    Args:
        sources: that it has rows for.
        reasons: its rejections by reason.
    """
    return sources + sum(reasons.get(str(reason), 0) for reason in _FINE_IMAGES | BAD_SOURCE_REASONS)


def is_borne(totals: Mapping[str, int], reasons: Mapping[str, int], max_bad_fraction: float) -> bool:
    """Return whether no more images are damaged than is borne.

    Args:
        totals: with the number of `images`.
        reasons: rejections by reason.
        max_bad_fraction: 0 to 1.
    """
    return _damaged(reasons) <= max_bad_fraction * totals["images"]


def check_budget(
    tally: Tally, totals: Mapping[str, int], max_bad_fraction: float, name: str, listed: Path
) -> None:
    """Fail a dataset of which too much is damaged.

    Args:
        tally: of all that was thrown out so far.
        totals: with the number of `images`.
        max_bad_fraction: 0 to 1.
        name: of the dataset, for the error.
        listed: the file that has every rejection, for the error.

    Raises:
        UserError: more than that share of the images is unreadable or unsupported; it carries the reasons.
    """
    if not is_borne(totals, tally.reasons, max_bad_fraction):
        damaged = _damaged(tally.reasons)
        shown = "; ".join(f"{one.id}: {one.reason} ({one.detail})" for one in tally.damaged)
        more = f" and {damaged - len(tally.damaged)} more" if damaged > len(tally.damaged) else ""
        raise UserError(
            f"at most {max_bad_fraction:.2%} damaged images",
            f"{damaged} of {totals['images']} (thrown out in all: {worded(tally.reasons)}; damaged: {shown}{more})",
            f"dataset {name}",
            f"mend or remove what {listed} lists, or raise [crops] max_bad_fraction",
        )


def worded(reasons: Mapping[str, int]) -> str:
    """Return counts by reason in words."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def _damaged(reasons: Mapping[str, int]) -> int:
    return sum(reasons.get(str(reason), 0) for reason in BAD_SOURCE_REASONS)
