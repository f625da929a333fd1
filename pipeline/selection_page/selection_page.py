"""Write the page of a selection, selection.html, and its figures, review.json.

It repeats what compares perceptual hashes, a step looser and stricter, and reads the few crops that it shows. Of the
other filters it takes the decisions that the selection has stored. Nothing is selected anew.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from data.atomic_files import write_bytes, write_json
from data.record_json import to_plain
from data.records import SCHEMA
from pipeline.dataset import read_manifest
from pipeline.quality_filters import QualityThresholds
from pipeline.quality_metrics import METRICS
from pipeline.selection.decisions import read_decisions
from pipeline.selection.leakage import Benchmark, hash_benchmarks
from pipeline.selection.select_samples import read_scored_crops, read_selection
from pipeline.selection.settings import SelectionSettings
from pipeline.selection_page.contents import HASH_FILTERS, Contents
from pipeline.selection_page.crop_thresholds import count_crop_thresholds
from pipeline.selection_page.metrics import Histogram, count_values
from pipeline.selection_page.render import Sources, render_page
from pipeline.selection_page.steps import ThresholdSteps, count_bits, count_rule

PAGE, RECORD = "selection.html", "review.json"


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
    crop_steps: dict[str, tuple[ThresholdSteps, ...]]
    """The same as `steps` of the thresholds that each dataset was made with, by the name of its directory."""


def write_selection_page(
    datasets: Sequence[Path],
    selection_dir: Path,
    benchmarks: Sequence[Benchmark],
    settings: SelectionSettings,
    thresholds: Sequence[QualityThresholds],
    out_dir: Path,
    spec_hash: str,
) -> None:
    """Write selection.html and, last, review.json.

    Args:
        datasets: directories of the crop datasets.
        selection_dir: directory of the selection.
        benchmarks: those that it keeps clear of.
        settings: those that it was made with.
        thresholds: those that each dataset was made with.
        out_dir: directory of the page.
        spec_hash: hash of the page's specification.

    Raises:
        UserError: a file of the datasets or of the selection is missing or damaged.
    """
    manifests = [read_manifest(directory) for directory in datasets]
    manifest = read_selection(selection_dir)
    contents = Contents(
        manifest,
        read_scored_crops(datasets, manifests, settings, METRICS),
        read_decisions(selection_dir, manifest.decisions_sha256),
        hash_benchmarks(benchmarks),
        settings,
    )
    steps, histograms = count_steps(contents), count_metrics(contents)
    crop_steps = count_crop_thresholds(contents.crops, datasets, manifests, thresholds)
    sources = Sources(datasets, [one.name for one in manifests], benchmarks)
    write_bytes(out_dir / PAGE, render_page(contents, steps, crop_steps, histograms, sources))
    named = {path.name: of_one for path, of_one in zip(datasets, crop_steps, strict=True)}
    review = SelectionReview(SCHEMA, spec_hash, manifest.spec_hash, manifest.totals, steps, histograms, named)
    write_json(out_dir / RECORD, to_plain(review))


def count_steps(contents: Contents) -> tuple[ThresholdSteps, ...]:
    """Count what each threshold rejects, and would one step looser and stricter, in the order of the filters."""
    counted = [count_bits(contents, name) for name in HASH_FILTERS if contents.is_comparing(name)]
    counted += [
        count_rule(rule, contents.crops.numbers(rule.metric), contents.reached(str(rule)))
        for rule in contents.settings.rules
    ]
    return tuple(sorted(counted, key=lambda one: contents.filters.index(one.filter)))


def count_metrics(contents: Contents) -> tuple[Histogram, ...]:
    """Count the values of every metric and score."""
    selected = contents.decisions.selected
    found = [
        count_values(name, contents.crops.numbers(name), selected)
        for name in contents.crops.number_columns(METRICS)
    ]
    return tuple(one for one in found if one is not None)
