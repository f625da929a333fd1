"""Write the page of a selection, selection.html, and its figures, review.json.

It repeats what compares perceptual hashes, a step looser and stricter, and reads the few crops that it shows. Of the
other filters it takes the decisions that the selection has stored. Nothing is selected anew.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from data.atomic_files import write_bytes, write_json
from data.html.histogram import Threshold, draw_histogram
from data.html.pages import render_template
from data.record_json import to_plain
from data.records import SCHEMA, DatasetManifest
from data.selection import SelectionManifest
from pipeline.dataset import read_manifest
from pipeline.quality_metrics import METRICS
from pipeline.selection.crop_table import CropTable
from pipeline.selection.decisions import Decisions, read_decisions
from pipeline.selection.filters import COPIES, LEAKAGE, NEAR_DUPLICATES
from pipeline.selection.hamming import Rows
from pipeline.selection.leakage import Benchmark, BenchmarkHashes, hash_benchmarks
from pipeline.selection.select_samples import read_scored_crops, read_selection
from pipeline.selection.settings import SelectionSettings
from pipeline.selection_page.images import (
    Thumbnails,
    read_benchmark_thumbnails,
    read_crop_thumbnails,
)
from pipeline.selection_page.metrics import Histogram, count_values, nearest_rows
from pipeline.selection_page.pairs import Pairs, find_pairs
from pipeline.selection_page.steps import ThresholdSteps, count_bits, count_rule

PAGE, RECORD = "selection.html", "review.json"
_TEMPLATE = Path(__file__).parent / "templates" / "selection.html.j2"
FILTER_TITLES = {
    LEAKAGE: "Images that are in a benchmark",
    COPIES: "Copies of a source image",
    NEAR_DUPLICATES: "Crops that are nearly equal",
}
"""The filters that compare perceptual hashes, as headings."""


@dataclasses.dataclass(frozen=True)
class SelectionReview:
    """review.json: the figures of the page."""

    schema: int
    spec_hash: str
    """12 hex digits that name the directory."""
    selection: str
    """The spec hash of the selection."""
    totals: dict[str, int]
    """As in selection.json."""
    steps: tuple[ThresholdSteps, ...]
    """What each threshold rejects, and what it would one step looser and stricter."""
    histograms: tuple[Histogram, ...]
    """Of every metric."""


@dataclasses.dataclass(frozen=True)
class _Contents:
    """Everything that the page is made from."""

    manifest: SelectionManifest
    crops: CropTable
    decisions: Decisions
    hashes: BenchmarkHashes
    settings: SelectionSettings

    def reached(self, name: str) -> Rows | None:
        """Return the rows of the crops that a filter has decided on; None if it has not run."""
        names = [one.filter for one in self.manifest.filters]
        if name not in names:
            return None
        filters = self.decisions.filters
        return np.flatnonzero((filters < 0) | (filters >= names.index(name)))

    def rejected(self, name: str) -> Rows:
        """Return the rows of the crops that a filter has rejected."""
        names = [one.filter for one in self.manifest.filters]
        return np.flatnonzero(self.decisions.filters == names.index(name))

    @property
    def selected(self) -> Rows:
        """The rows of the selected crops."""
        return np.flatnonzero(self.decisions.selected)


def write_selection_page(
    datasets: Sequence[Path],
    selection_dir: Path,
    benchmarks: Sequence[Benchmark],
    settings: SelectionSettings,
    out_dir: Path,
    spec_hash: str,
) -> None:
    """Write selection.html and, last, review.json.

    Args:
        datasets: directories of the crop datasets.
        selection_dir: directory of the selection.
        benchmarks: those that it keeps clear of.
        settings: those that it was made with.
        out_dir: directory of the page.
        spec_hash: hash of the page's specification.

    Raises:
        UserError: a file of the datasets or of the selection is missing or damaged.
    """
    manifests = [read_manifest(directory) for directory in datasets]
    manifest = read_selection(selection_dir)
    contents = _Contents(
        manifest,
        read_scored_crops(datasets, manifests, settings, METRICS),
        read_decisions(selection_dir, manifest.decisions_sha256),
        hash_benchmarks(benchmarks),
        settings,
    )
    review = SelectionReview(
        SCHEMA,
        spec_hash,
        manifest.spec_hash,
        manifest.totals,
        _count_steps(contents),
        _count_metrics(contents),
    )
    write_bytes(out_dir / PAGE, _render(contents, review, datasets, manifests, benchmarks))
    write_json(out_dir / RECORD, to_plain(review))


def _count_steps(contents: _Contents) -> tuple[ThresholdSteps, ...]:
    reached = {name: contents.reached(name) for name in FILTER_TITLES}
    bits = count_bits(
        contents.crops,
        contents.hashes,
        contents.settings,
        {name: rows for name, rows in reached.items() if rows is not None and _is_on(contents, name)},
    )
    rules = [
        count_rule(rule, contents.crops.numbers(rule.metric), rows)
        for rule in contents.settings.rules
        if (rows := contents.reached(str(rule))) is not None
    ]
    place = {one.filter: number for number, one in enumerate(contents.manifest.filters)}
    return tuple(sorted([*bits, *rules], key=lambda one: place[one.filter]))


def _is_on(contents: _Contents, name: str) -> bool:
    """Return whether a filter compares hashes with anything."""
    return getattr(contents.settings, name) >= 0 and (name != LEAKAGE or bool(contents.hashes.perceptual))


def _count_metrics(contents: _Contents) -> tuple[Histogram, ...]:
    selected = contents.decisions.selected
    found = [
        count_values(name, contents.crops.numbers(name), selected)
        for name in contents.crops.number_columns(METRICS)
    ]
    return tuple(one for one in found if one is not None)


def _render(
    contents: _Contents,
    review: SelectionReview,
    datasets: Sequence[Path],
    manifests: Sequence[DatasetManifest],
    benchmarks: Sequence[Benchmark],
) -> bytes:
    pairs = [
        find_pairs(
            name,
            getattr(contents.settings, name),
            contents.crops,
            contents.hashes,
            rows,
            contents.selected,
        )
        for name in FILTER_TITLES
        if (rows := contents.reached(name)) is not None and _is_on(contents, name)
    ]
    nearest = {
        str(rule): nearest_rows(
            rule, contents.crops.numbers(rule.metric), contents.rejected(str(rule)), contents.selected
        )
        for rule in contents.settings.rules
    }
    shown = {row for sides in nearest.values() for side in sides for row in side}
    sides = [pair for one in pairs for pair in (*one.rejected, *one.kept)]
    shown |= {row for pair in sides for row in (pair.row, pair.other) if isinstance(row, int)}
    names = [one.name for one in manifests]
    thumbnails: Thumbnails = {
        **read_crop_thumbnails(datasets, names, contents.crops, shown),
        **read_benchmark_thumbnails(
            benchmarks, [pair.other for pair in sides if isinstance(pair.other, str)]
        ),
    }
    return render_template(
        _TEMPLATE,
        manifest=contents.manifest,
        review=review,
        titles=FILTER_TITLES,
        pairs=[_show_pairs(one, thumbnails) for one in pairs],
        rules=[_show_rule(rule, sides, contents.crops, thumbnails) for rule, sides in nearest.items()],
        charts=[(one, _draw(one, contents)) for one in review.histograms],
    )


def _show_pairs(pairs: Pairs, thumbnails: Thumbnails) -> dict[str, Any]:
    """Return the pairs of a filter as the template takes them. A pair without its image is left out."""
    return {"filter": pairs.filter} | {
        side: [
            (pair.distance_bits, thumbnails[pair.row], thumbnails[pair.other])
            for pair in getattr(pairs, side)
            if pair.row in thumbnails and pair.other in thumbnails
        ]
        for side in ("rejected", "kept")
    }


def _show_rule(
    rule: str,
    nearest: tuple[list[int], list[int]],
    crops: CropTable,
    thumbnails: Thumbnails,
) -> dict[str, Any]:
    metric = rule.partition(" ")[0]
    values = crops.numbers(metric)
    sides = zip(("rejected", "kept"), nearest, strict=True)
    return {"rule": rule, "metric": metric} | {
        side: [(float(values[row]), thumbnails[row]) for row in rows] for side, rows in sides
    }


def _draw(histogram: Histogram, contents: _Contents) -> Markup:
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
