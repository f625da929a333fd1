"""Several models on several benchmarks in one table, with published rows beside the measured ones.

It reads finished evaluations and published figures; it measures nothing. What a clock had a part in stands under
"timings" alone.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.atomic_files import read_json, write_bytes, write_json
from data.catalog.published_figures import Published, plain_benchmark
from data.errors import UserError
from sr.evaluation.tables import SCHEMA, csv_of
from sr.html import formatting
from sr.html.pages import fill

MEASURED, BASELINE, PUBLISHED = "measured", "baseline", "published"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One model judged on one benchmark."""

    model: str
    """What the table calls it; the same on every benchmark, and no other model's."""
    benchmark: str
    """Its name; the table leaves a scale at the end (Set5-x2) out, unless two benchmarks would then be one."""
    directory: Path
    """With report.json and run/timing.json."""


def write_comparison(
    evaluations: Sequence[Evaluation], published: Published, out_dir: Path
) -> dict[str, Any]:
    """Write comparison.html, comparison.csv and, last, comparison.json.

    Args:
        evaluations: in the order in which models and benchmarks are to stand.
        published: rows of the same scales and benchmarks are put beside the measured ones, where those are
            of luma.
        out_dir: made if missing.

    Returns:
        What comparison.json holds: schema, benchmarks, rows (model, kind, scale, protocol, parameters,
        gmacs_720p, sha256, source, figures by benchmark), timings (by model, then benchmark).

    Raises:
        UserError: a report is missing or of another version.
    """
    evaluations = _with_short_names(evaluations)
    reports = [(one, _report(one.directory)) for one in evaluations]
    benchmarks = list(dict.fromkeys(one.benchmark for one in evaluations))
    rows = _measured_rows(reports) + _baseline_rows(reports) + _published_rows(reports, benchmarks, published)
    comparison = {
        "schema": SCHEMA,
        "benchmarks": benchmarks,
        "rows": rows,
        "timings": _timings(evaluations),
    }
    lpips = any("lpips" in figures for row in rows for figures in row["figures"].values())
    page = fill(
        "comparison.html.j2",
        comparison=comparison,
        lpips=lpips,
        protocols=_protocols(reports),
        hosts=sorted(_hosts(evaluations)),
    )
    write_bytes(out_dir / "comparison.html", page)
    write_bytes(out_dir / "comparison.csv", csv_of(_flat(comparison)))
    write_json(out_dir / "comparison.json", comparison)
    return comparison


def lines(comparison: dict[str, Any]) -> list[str]:
    """The measured rows, the baselines and the published ones as lines for a terminal."""
    told = []
    for row in comparison["rows"]:
        known = [(name, row["figures"].get(name)) for name in comparison["benchmarks"]]
        figures = ", ".join(f"{name} {one['psnr_db']:.2f}/{one['ssim']:.4f}" for name, one in known if one)
        told.append(f"{row['model']} x{row['scale']} ({row['kind']}, {row['protocol']}): {figures}")
    return told


def _with_short_names(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    names = {one.benchmark for one in evaluations}
    plain = [plain_benchmark(name) for name in names]
    return [
        dataclasses.replace(one, benchmark=short) if plain.count(short) == 1 else one
        for one in evaluations
        for short in [plain_benchmark(one.benchmark)]
    ]


def _report(directory: Path) -> dict[str, Any]:
    path = directory / "report.json"
    report = read_json(path)
    if report.get("schema") != SCHEMA:
        found = f"version {report.get('schema')}"
        raise UserError(f"a report of version {SCHEMA}", found, str(path), "run EvaluateModel again")
    return report


Reports = Sequence[tuple[Evaluation, dict[str, Any]]]


def _measured_rows(reports: Reports) -> list[dict[str, Any]]:
    """The models, each once for every protocol that its benchmarks were judged by."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one, report in reports:
        key = (one.model, report["protocol"]["name"])
        row = rows.setdefault(key, _row(one.model, MEASURED, report["protocol"]))
        row |= report["cost"] | {"sha256": report["model"]["sha256"]}
        row["figures"][one.benchmark] = report["mean"]
    return list(rows.values())


def _baseline_rows(reports: Reports) -> list[dict[str, Any]]:
    """Bicubic and Lanczos, once for each protocol and scale, unless they are among the models."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    models = {(report["protocol"]["name"], report["model"]["name"]) for _, report in reports}
    for one, report in reports:
        for name, mean in report["baselines"].items():
            if (report["protocol"]["name"], name) in models:
                continue
            key = (report["protocol"]["name"], name)
            row = rows.setdefault(key, _row(formatting.form_name(name), BASELINE, report["protocol"]))
            row["figures"][one.benchmark] = mean
    return list(rows.values())


def _published_rows(
    reports: Reports, benchmarks: Sequence[str], published: Published
) -> list[dict[str, Any]]:
    """Published rows of the scales and benchmarks at hand; none where RGB was measured: tables are of luma."""
    protocols = [report["protocol"] for _, report in reports]
    scales = {protocol["scale"] for protocol in protocols if protocol["channel"] == "y"}
    rows = []
    for one in published.rows:
        figures = {
            name: dict(zip(("psnr_db", "ssim"), one.figures[plain_benchmark(name)], strict=True))
            for name in benchmarks
            if plain_benchmark(name) in one.figures
        }
        if one.scale in scales and figures:
            row = _row(one.model, PUBLISHED, {"name": f"{one.protocol}-x{one.scale}", "scale": one.scale})
            rows.append(row | {"parameters": one.parameters, "source": one.source, "figures": figures})
    return rows


def _row(model: str, kind: str, protocol: dict[str, Any]) -> dict[str, Any]:
    absent = dict.fromkeys(("parameters", "gmacs_720p", "sha256", "source"))
    return {
        "model": model,
        "kind": kind,
        "scale": protocol["scale"],
        "protocol": protocol["name"],
        **absent,
    } | {"figures": {}}


def _timings(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, Any]]:
    """Milliseconds an image, by model and benchmark, where they were taken."""
    timings: dict[str, dict[str, Any]] = {}
    for one in evaluations:
        path = one.directory / "run" / "timing.json"
        if path.is_file():
            timings.setdefault(one.model, {})[one.benchmark] = read_json(path)["image"]
    return timings


def _hosts(evaluations: Sequence[Evaluation]) -> set[str]:
    paths = [one.directory / "run" / "timing.json" for one in evaluations]
    hosts = [read_json(path)["host"] for path in paths if path.is_file()]
    return {f"{host['processor']} with {formatting.plural(host['cores'], 'core')}" for host in hosts}


def _protocols(reports: Reports) -> dict[str, list[str]]:
    """Every protocol that was used, by name, in sentences."""
    return {
        report["protocol"]["name"]: formatting.protocol(report["protocol"], report["images"])[1:]
        for _, report in reports
    }


def _flat(comparison: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a model, with every benchmark's figures in columns, whether it has them or not."""
    keys = list(
        dict.fromkeys(k for row in comparison["rows"] for one in row["figures"].values() for k in one)
    )
    flat = []
    for row in comparison["rows"]:
        own = {name: value for name, value in row.items() if name != "figures"}
        for benchmark in comparison["benchmarks"]:
            figures = row["figures"].get(benchmark, {})
            own[benchmark] = {key: figures.get(key) for key in keys}
        flat.append(own)
    return flat
