"""Compare several models on several benchmark datasets in one table, beside published figures.

It reads finished evaluations and published figures, and measures nothing. What depends on the machine is kept under
"timings" alone.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.atomic_files import read_json, write_bytes, write_json
from data.catalog.published_figures import PublishedFigures, strip_scale_suffix
from data.errors import UserError
from data.html import formatting
from data.html.pages import render_template
from sr.evaluation.tables import SCHEMA, to_csv
from sr.html import labels

MEASURED, BASELINE, PUBLISHED = "measured", "baseline", "published"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A finished evaluation of one model on one benchmark dataset."""

    model: str
    """The model's label in the table: the same on every benchmark dataset, and unique among the models."""
    benchmark: str
    """The dataset's name. The table shortens Set5-x2 to Set5, unless two datasets would then share a name."""
    directory: Path
    """With report.json and run/timing.json."""


Reports = Sequence[tuple[Evaluation, dict[str, Any]]]
"""Evaluations, each with the content of its report.json."""


def write_comparison(
    evaluations: Sequence[Evaluation], published: PublishedFigures, out_dir: Path
) -> dict[str, Any]:
    """Write comparison.html, comparison.csv and, last, comparison.json.

    Args:
        evaluations: in the order in which models and benchmark datasets appear.
        published: published rows. Those of the scales and datasets at hand are listed beside the measured rows,
            where these are of luma.
        out_dir: made if missing.

    Returns:
        What comparison.json holds: schema, benchmarks, rows (model, kind, scale, protocol, parameters, gmacs_720p,
        sha256, source, figures by benchmark), timings (by model, then benchmark).

    Raises:
        UserError: a report is missing, or of another version.
    """
    evaluations = _shorten_names(evaluations)
    reports = [(evaluation, _read_report(evaluation.directory)) for evaluation in evaluations]
    benchmarks = list(dict.fromkeys(evaluation.benchmark for evaluation in evaluations))
    rows = _measured_rows(reports) + _baseline_rows(reports) + _published_rows(reports, benchmarks, published)
    comparison = {
        "schema": SCHEMA,
        "benchmarks": benchmarks,
        "rows": rows,
        "timings": _read_timings(evaluations),
    }
    page = render_template(
        labels.TEMPLATES / "comparison.html.j2",
        labels=labels,
        comparison=comparison,
        lpips=any("lpips" in figures for row in rows for figures in row["figures"].values()),
        protocols=_describe_protocols(reports),
        hosts=sorted(_read_hosts(evaluations)),
    )
    write_bytes(out_dir / "comparison.html", page)
    write_bytes(out_dir / "comparison.csv", to_csv(_flatten(comparison)))
    write_json(out_dir / "comparison.json", comparison)
    return comparison


def format_lines(comparison: dict[str, Any]) -> list[str]:
    """Format every row of a comparison as a line for a terminal.

    Args:
        comparison: the content of comparison.json.
    """
    lines = []
    for row in comparison["rows"]:
        figures = ", ".join(
            f"{name} {row['figures'][name]['psnr_db']:.2f}/{row['figures'][name]['ssim']:.4f}"
            for name in comparison["benchmarks"]
            if name in row["figures"]
        )
        lines.append(f"{row['model']} x{row['scale']} ({row['kind']}, {row['protocol']}): {figures}")
    return lines


def _shorten_names(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Drop the scale from benchmark names, where they stay unique."""
    plain = [strip_scale_suffix(name) for name in {evaluation.benchmark for evaluation in evaluations}]
    return [
        dataclasses.replace(evaluation, benchmark=short) if plain.count(short) == 1 else evaluation
        for evaluation in evaluations
        for short in [strip_scale_suffix(evaluation.benchmark)]
    ]


def _read_report(directory: Path) -> dict[str, Any]:
    path = directory / "report.json"
    report: dict[str, Any] = read_json(path)
    if report.get("schema") != SCHEMA:
        raise UserError(
            f"{path} has version {report.get('schema')}, but this program reads version {SCHEMA}",
            "Run EvaluateModel again",
        )
    return report


def _measured_rows(reports: Reports) -> list[dict[str, Any]]:
    """Make a row for each model and each protocol that it was evaluated by."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for evaluation, report in reports:
        key = (evaluation.model, report["protocol"]["name"])
        row = rows.setdefault(key, _make_row(evaluation.model, MEASURED, report["protocol"]))
        row |= report["cost"] | {"sha256": report["model"]["sha256"]}
        row["figures"][evaluation.benchmark] = report["mean"]
    return list(rows.values())


def _baseline_rows(reports: Reports) -> list[dict[str, Any]]:
    """Make rows for bicubic and Lanczos, once for each protocol and scale, unless they are among the models."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    models = {(report["protocol"]["name"], report["model"]["name"]) for _, report in reports}
    for evaluation, report in reports:
        for name, mean in report["baselines"].items():
            key = (report["protocol"]["name"], name)
            if key in models:
                continue
            row = rows.setdefault(key, _make_row(labels.model_label(name), BASELINE, report["protocol"]))
            row["figures"][evaluation.benchmark] = mean
    return list(rows.values())


def _published_rows(
    reports: Reports, benchmarks: Sequence[str], published: PublishedFigures
) -> list[dict[str, Any]]:
    """Select the published rows of the scales and datasets at hand.

    Published figures are of luma: there are no rows where only RGB was measured.
    """
    protocols = [report["protocol"] for _, report in reports]
    scales = {protocol["scale"] for protocol in protocols if protocol["channel"] == "y"}
    rows = []
    for entry in published.rows:
        figures = {
            name: dict(zip(("psnr_db", "ssim"), entry.figures[strip_scale_suffix(name)], strict=True))
            for name in benchmarks
            if strip_scale_suffix(name) in entry.figures
        }
        if entry.scale in scales and figures:
            protocol = {"name": f"{entry.protocol}-x{entry.scale}", "scale": entry.scale}
            row = _make_row(entry.model, PUBLISHED, protocol)
            rows.append(row | {"parameters": entry.parameters, "source": entry.source, "figures": figures})
    return rows


def _make_row(model: str, kind: str, protocol: dict[str, Any]) -> dict[str, Any]:
    """Make a row without figures; what is not known is None."""
    return {
        "model": model,
        "kind": kind,
        "scale": protocol["scale"],
        "protocol": protocol["name"],
        **dict.fromkeys(("parameters", "gmacs_720p", "sha256", "source")),
        "figures": {},
    }


def _read_timings(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, Any]]:
    """Read the milliseconds per image, by model and benchmark dataset, where they were measured."""
    timings: dict[str, dict[str, Any]] = {}
    for evaluation in evaluations:
        path = evaluation.directory / "run" / "timing.json"
        if path.is_file():
            timings.setdefault(evaluation.model, {})[evaluation.benchmark] = read_json(path)["image"]
    return timings


def _read_hosts(evaluations: Sequence[Evaluation]) -> set[str]:
    """Describe the machines that the timings are from."""
    paths = [evaluation.directory / "run" / "timing.json" for evaluation in evaluations]
    hosts = [read_json(path)["host"] for path in paths if path.is_file()]
    return {f"{host['processor']} with {formatting.plural(host['cores'], 'core')}" for host in hosts}


def _describe_protocols(reports: Reports) -> dict[str, list[str]]:
    """Describe every protocol in sentences, by name."""
    return {report["protocol"]["name"]: labels.describe_protocol(report["protocol"]) for _, report in reports}


def _flatten(comparison: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows with a column for every benchmark dataset and figure, empty where a row has none."""
    keys = list(
        dict.fromkeys(
            key for row in comparison["rows"] for figures in row["figures"].values() for key in figures
        )
    )
    flat = []
    for row in comparison["rows"]:
        columns = {name: value for name, value in row.items() if name != "figures"}
        for benchmark in comparison["benchmarks"]:
            figures = row["figures"].get(benchmark, {})
            columns[benchmark] = {key: figures.get(key) for key in keys}
        flat.append(columns)
    return flat
