"""Choose among the crops that pass all filters: so many of a source, of each dataset by weight, and in all.

The choice is random but fixed by the seed, and takes from all sources alike: the first crop of every source comes
before the second of any.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from data.hashing import numbers
from data.records import RejectionReason
from pipeline.selection.hamming import Rows
from pipeline.selection.selection import Selection
from pipeline.selection.settings import SelectionSettings


def draw_order(sources: Rows, keys: Sequence[str], seed: int) -> tuple[Rows, Rows]:
    """Return the order in which crops are taken, and each crop's rank among those of its source, from 0.

    Args:
        sources: number of each crop's source.
        keys: keys of the crops.
        seed: of the order.
    """
    draws = np.array(numbers("choose", seed, texts=keys), np.uint64)
    names = np.array(keys)
    ranks = rank_within(np.lexsort((names, draws)), sources)
    return np.lexsort((names, draws, ranks)), ranks


def rank_within(order: Rows, groups: Rows) -> Rows:
    """Return each crop's rank among those of its group, from 0, in the order in which crops are taken.

    Args:
        order: of all crops.
        groups: number of each crop's group.
    """
    by_group = order[np.argsort(groups[order], kind="stable")]
    first = np.concatenate(([True], np.diff(groups[by_group]) != 0))[: len(order)]
    starts = np.flatnonzero(first)
    ranks: Rows = np.empty(len(order), np.int64)
    ranks[by_group] = np.arange(len(order)) - starts[np.cumsum(first) - 1]
    return ranks


def compute_quotas(available: Sequence[int], weights: Sequence[float], limit: int) -> list[int]:
    """Return how many crops each dataset gives, so that their numbers are as the weights.

    The dataset that has the fewest for its weight gives all of its own, unless the limit is smaller.

    Args:
        available: number of crops of each dataset.
        weights: of the datasets, above 0; a dataset without crops does not count.
        limit: largest number in all; 0: none.

    Example:
        >>> compute_quotas([300, 50], [2, 1], 0)
        [100, 50]
    """
    shares = [Fraction(weight) for weight in weights]
    total = sum(share for share, count in zip(shares, available, strict=True) if count)
    if not total:
        return [0] * len(available)
    reached = min(
        Fraction(count) * total / share for share, count in zip(shares, available, strict=True) if count
    )
    if limit:
        reached = min(reached, Fraction(limit))
    return [
        int(reached * share / total) if count else 0 for share, count in zip(shares, available, strict=True)
    ]


def take_in_order(order: Rows, datasets: Rows, quotas: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Return which crops are taken: in order, as many of each dataset as its quota.

    Args:
        order: as `draw_order` returns it; it may leave crops out.
        datasets: number of each crop's dataset.
        quotas: largest number of crops of each dataset.
    """
    taken = np.zeros(len(datasets), bool)
    for dataset, quota in enumerate(quotas):
        taken[order[datasets[order] == dataset][:quota]] = True
    return taken


def apply_caps(selection: Selection, settings: SelectionSettings, *, training: bool) -> None:
    """Keep at most so many crops of a source, of each dataset, and in all; only the cap in all is for validation, too.

    Args:
        selection: what the filters before have left.
        settings: the caps and the seed.
        training: whether to choose among the training crops or among those for validation.
    """
    rows = np.flatnonzero(selection.selected & (selection.crops.training == training))
    if not training:
        if 0 < settings.max_validation < len(rows):
            _Draw(selection, rows, settings.seed).keep_first("max_validation", settings.max_validation)
        return
    caps, limit = settings.max_per_dataset, settings.max_train
    per_image = settings.max_per_source or settings.max_per_group
    if not len(rows) or not (per_image or any(caps) or settings.weights or 0 < limit < len(rows)):
        return
    draw = _Draw(selection, rows, settings.seed)
    if settings.max_per_source:
        draw.keep_per_source(settings.max_per_source)
    if settings.max_per_group:
        draw.keep_per_group(settings.max_per_group)
    if any(caps):
        quotas = [cap or len(rows) for cap in caps]
        draw.keep_quotas("max_per_dataset", quotas, "more than the {} of its dataset")
    if settings.weights:
        quotas = compute_quotas(draw.count(len(settings.weights)), settings.weights, limit)
        draw.keep_quotas("weights", quotas, "more than the {} that the weights leave of its dataset")
    elif 0 < limit < len(draw.order):
        draw.keep_first("max_train", limit)


class _Draw:
    """The crops of one split in the order in which they are taken."""

    def __init__(self, selection: Selection, rows: Rows, seed: int) -> None:
        self._selection, self._rows = selection, rows
        self._datasets = selection.crops.datasets[rows]
        shared = selection.crops.shared("source")
        # Images of two datasets may have one id.
        sources = self._datasets * len(shared.values) + shared.rows[rows]
        self.order, self._ranks = draw_order(sources, selection.crops.texts("key", rows), seed)
        """Places in `rows` of the crops that are left."""

    def count(self, datasets: int) -> list[int]:
        """Return how many crops of each dataset are left."""
        counts: list[int] = np.bincount(self._datasets[self.order], minlength=datasets).tolist()
        return counts

    def keep_per_source(self, cap: int) -> None:
        """Keep so many of each source."""
        self._keep("max_per_source", self._ranks < cap, lambda _: f"more than {cap} of its source")

    def keep_per_group(self, cap: int) -> None:
        """Keep so many of each group."""
        taken = np.zeros(len(self._rows), bool)
        groups = self._selection.groups[self._rows[self.order]]
        taken[self.order[rank_within(np.arange(len(groups)), groups) < cap]] = True
        self._keep("max_per_group", taken, lambda _: f"more than {cap} of its group of images")

    def keep_quotas(self, name: str, quotas: Sequence[int], detail: str) -> None:
        """Keep the first of each dataset, as many as its quota."""
        taken = take_in_order(self.order, self._datasets, quotas)
        self._keep(name, taken, lambda dataset: detail.format(quotas[dataset]))

    def keep_first(self, name: str, limit: int) -> None:
        """Keep so many in all."""
        taken = np.zeros(len(self._rows), bool)
        taken[self.order[:limit]] = True
        total = len(self.order)
        self._keep(name, taken, lambda _: f"{total} crops; at most {limit} are used")

    def _keep(self, name: str, taken: npt.NDArray[np.bool_], detail: Callable[[int], str]) -> None:
        dropped = np.sort(self.order[~taken[self.order]])
        self.order = self.order[taken[self.order]]
        details = [detail(dataset) for dataset in self._datasets[dropped].tolist()]
        self._selection.reject(name, RejectionReason.OVER_CAP, self._rows[dropped], details)
