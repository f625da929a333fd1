"""Choose the images that the page of a selection shows, and render it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from data.html.histogram import Threshold, draw_histogram
from data.html.pages import render_template
from pipeline.selection.filters import COPIES, LEAKAGE, NEAR_DUPLICATES
from pipeline.selection.leakage import Benchmark
from pipeline.selection_page.contents import HASH_FILTERS, Contents
from pipeline.selection_page.images import Thumbnails, read_benchmark_thumbnails, read_crop_thumbnails
from pipeline.selection_page.metrics import Histogram, nearest_rows
from pipeline.selection_page.pairs import LikePair, Pair, Pairs, find_like_pairs, find_pairs
from pipeline.selection_page.steps import ThresholdSteps

_TEMPLATE = Path(__file__).parent / "templates" / "selection.html.j2"
_TITLES = {
    LEAKAGE: "Images that are in a benchmark",
    COPIES: "Copies of a source image",
    NEAR_DUPLICATES: "Crops that are nearly equal",
}


class Sources(NamedTuple):
    """Where the images of the page are."""

    datasets: Sequence[Path]
    """Directories of the crop datasets."""
    names: Sequence[str]
    """Their names."""
    benchmarks: Sequence[Benchmark]


def render_page(
    contents: Contents,
    steps: Sequence[ThresholdSteps],
    crop_steps: Sequence[Sequence[ThresholdSteps]],
    histograms: Sequence[Histogram],
    sources: Sources,
) -> bytes:
    """Render the page. Everything that comes from files is escaped in it.

    Args:
        contents: the crops and the decisions.
        steps, histograms: counts.
        crop_steps: those of each dataset's own thresholds.
        sources: where the images are.

    Raises:
        UserError: a shard is missing or damaged.
    """
    pairs = [find_pairs(contents, name) for name in HASH_FILTERS if contents.is_comparing(name)]
    likes = {name: find_like_pairs(contents, name) for name in contents.filters if name not in HASH_FILTERS}
    nearest = {
        str(rule): nearest_rows(
            rule, contents.crops.numbers(rule.metric), contents.rejected(str(rule)), contents.selected
        )
        for rule in contents.settings.rules
    }
    rows = {row for sides in nearest.values() for side in sides for row in side}
    shown: list[Pair | LikePair] = [pair for one in pairs for pair in (*one.rejected, *one.kept)]
    shown += [pair for found in likes.values() for pair in found]
    thumbnails = _read_thumbnails(contents, sources, rows, shown)
    return render_template(
        _TEMPLATE,
        manifest=contents.manifest,
        steps=steps,
        crop_steps=[*zip(sources.names, crop_steps, strict=True)],
        titles=_TITLES,
        pairs=[_show_pairs(one, thumbnails) for one in pairs],
        likes={name: _show_likes(found, thumbnails) for name, found in likes.items() if found},
        rules=[_show_rule(rule, sides, contents, thumbnails) for rule, sides in nearest.items()],
        charts=[(one, _draw(one, contents)) for one in histograms],
    )


def _read_thumbnails(
    contents: Contents, sources: Sources, rows: set[int], pairs: Sequence[Pair | LikePair]
) -> Thumbnails:
    sides = [side for pair in pairs for side in (pair.row, pair.other)]
    rows = rows | {side for side in sides if isinstance(side, int)}
    names = [side for side in sides if isinstance(side, str)]
    return {
        **read_crop_thumbnails(sources.datasets, sources.names, contents.crops, rows),
        **read_benchmark_thumbnails(sources.benchmarks, names),
    }


def _show_pairs(pairs: Pairs, thumbnails: Thumbnails) -> dict[str, Any]:
    """Return the pairs of a filter as the template takes them."""
    return {"filter": pairs.filter} | {
        side: [
            (pair.distance_bits, thumbnails[pair.row], thumbnails[pair.other])
            for pair in getattr(pairs, side)
        ]
        for side in ("rejected", "kept")
    }


def _show_likes(pairs: Sequence[LikePair], thumbnails: Thumbnails) -> list[tuple[Any, ...]]:
    """Return pairs with their detail; the second image is None where it is neither a crop nor in a benchmark."""
    return [(pair.detail, thumbnails[pair.row], thumbnails.get(pair.other)) for pair in pairs]


def _show_rule(
    rule: str, nearest: tuple[list[int], list[int]], contents: Contents, thumbnails: Thumbnails
) -> dict[str, Any]:
    values = contents.crops.numbers(rule.partition(" ")[0])
    sides = zip(("rejected", "kept"), nearest, strict=True)
    return {"rule": rule} | {
        side: [(float(values[row]), thumbnails[row]) for row in rows] for side, rows in sides
    }


def _draw(histogram: Histogram, contents: Contents) -> Markup:
    values = contents.crops.numbers(histogram.metric)
    thresholds = [
        Threshold(f"{rule.comparison} {rule.threshold(values):g}", rule.threshold(values))
        for rule in contents.settings.rules
        if rule.metric == histogram.metric and np.isfinite(rule.threshold(values))
    ]
    return draw_histogram(
        histogram.edges,
        [histogram.selected, histogram.rejected],
        title=f"{histogram.metric} of the crops",
        x_label=histogram.metric,
        thresholds=thresholds,
    )
