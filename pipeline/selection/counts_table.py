"""Format how many crops of each dataset each filter rejects, as a table for a terminal."""

from collections.abc import Sequence

from data.selection import FilterCounts, SelectedDataset


def format_counts_table(datasets: Sequence[SelectedDataset], filters: Sequence[FilterCounts]) -> list[str]:
    r"""Return the lines of a table: a column for each dataset, a row for each filter, and what is left.

    Args:
        datasets: the datasets of a selection.
        filters: its filters.

    Example:
        >>> print("\n".join(format_counts_table(
        ...     [SelectedDataset("DIV2K", 1200, 1000, 100)],
        ...     [FilterCounts("noise <= 4", RejectionReason.LOW_QUALITY, (100,))],
        ... )))
                                 DIV2K  total
        crops                    1,200  1,200
        noise <= 4: low_quality    100    100
        for training             1,000  1,000
        for validation             100    100
    """
    rows = [("crops", [one.crops for one in datasets])]
    rows += [(f"{one.filter}: {one.reason}", [*one.rejected]) for one in filters]
    rows += [("for training", [one.train for one in datasets])]
    rows += [("for validation", [one.validation for one in datasets])]
    cells = [["", *(one.name for one in datasets), "total"]]
    cells += [[label, *(f"{count:,}" for count in counts), f"{sum(counts):,}"] for label, counts in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells
    ]
