"""Choose among the crops that pass all filters: so many of a source, of each dataset by weight, and in all.

The choice is random but fixed by the seed, and takes from all sources alike: the first crop of every source comes
before the second of any.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from data.hashing import number
from pipeline.selection.hamming import Rows


def draw_order(sources: Rows, keys: Sequence[str], seed: int) -> tuple[Rows, Rows]:
    """Return the order in which crops are taken, and each crop's rank among those of its source, from 0.

    Args:
        sources: number of each crop's source.
        keys: keys of the crops.
        seed: of the order.
    """
    draws = np.array([number("choose", seed, key) for key in keys], np.uint64)
    names = np.array(keys)
    by_source = np.lexsort((names, draws, sources))
    first = np.concatenate(([True], np.diff(sources[by_source]) != 0))[: len(keys)]
    starts = np.flatnonzero(first)
    ranks: Rows = np.empty(len(keys), np.int64)
    ranks[by_source] = np.arange(len(keys)) - starts[np.cumsum(first) - 1]
    return np.lexsort((names, draws, ranks)), ranks


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
        order: as `draw_order` returns it.
        datasets: number of each crop's dataset.
        quotas: largest number of crops of each dataset.
    """
    taken = np.zeros(len(order), bool)
    for dataset, quota in enumerate(quotas):
        taken[order[datasets[order] == dataset][:quota]] = True
    return taken
