"""The report of a whole run: report.html, a page that needs no other file, and report.json, its figures.

It shows what the stages recorded. It measures nothing, and reads no images but contact sheets and side-by-side panels.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from data.atomic_files import read_json, read_jsonl, write_bytes, write_json
from data.html import formatting
from data.html.line_chart import Marker, Point, ReferenceLine, draw_chart
from data.html.pages import data_uri, render_template
from data.imaging.decode import decode
from data.imaging.encode import encode_jpeg
from data.record_json import from_plain
from data.records import Rejection
from data.shards import read_rejections
from sr.evaluation.panels import JPEG_QUALITY, embed_panels
from sr.html import labels
from sr.models.run_files import JOB
from sr.report.deployment import MAX_LOSS_DB
from sr.report.figures import ReportInputs, gather_figures, replace_infinite
from sr.report.formats import BASELINES, TORCH, Figures, sort_formats
from sr.training.job import TrainingJob
from sr.training.run_files import HISTORY

EXAMPLES_PER_REASON = 4
"""So many rejections of each reason are shown."""


@dataclasses.dataclass(frozen=True)
class StatTile:
    """One of the numbers at the top of the page."""

    value: str
    """The number with its unit."""
    label: str
    """What it counts or measures."""
    note: str
    """Details, in small print."""


def write_report(inputs: ReportInputs, out_dir: Path) -> Figures:
    """Write report.html and, last, report.json.

    Equal inputs give equal bytes. What depends on the machine is kept under "timings", and decides "deploy".

    Args:
        inputs: finished directories of the store.
        out_dir: made if missing.

    Returns:
        What report.json holds: totals, datasets, rejections, training, model, benchmarks (by name: protocol, images,
        models), gain_db (over bicubic, by benchmark dataset and model), benchmark (the first one) and its protocol,
        files and timings (by format; of a 256x256 frame), deploy, versions, made_from.

    Raises:
        UserError: a record is missing, damaged or of another version.
    """
    figures = gather_figures(inputs)
    write_bytes(out_dir / "report.html", render_page(figures, inputs))
    report: Figures = replace_infinite(figures)
    write_json(out_dir / "report.json", report)
    return report


def format_headline(figures: Figures) -> str:
    """Format the five most important numbers as five lines for a terminal.

    Args:
        figures: the content of report.json.
    """
    return "\n".join(f"{tile.value} {tile.label} ({tile.note})" for tile in make_tiles(figures))


def make_tiles(figures: Figures) -> tuple[StatTile, ...]:
    """Make the tiles of the five most important numbers: images, crops, dB gained, ms per frame, file to deploy.

    Args:
        figures: from `gather_figures`, or the content of report.json.
    """
    totals = figures["totals"]
    count = {name: formatting.count(number) for name, number in totals.items()}
    rejected = count["sources_rejected"] if totals["sources_rejected"] else "none"
    kept = f"of {count['crops']}: {count['train']} for training, {count['validation']} for validation"
    return (
        StatTile(count["sources"], "source images", f"{rejected} rejected before cropping"),
        StatTile(count["kept"], "crops kept", kept),
        _make_gain_tile(figures),
        _make_speed_tile(figures),
        _make_deploy_tile(figures),
    )


def render_page(figures: Figures, inputs: ReportInputs) -> bytes:
    """Render the page. Everything that comes from files is escaped in it."""
    job = from_plain(TrainingJob, read_json(inputs.run / JOB), str(inputs.run / JOB))
    return render_template(
        labels.TEMPLATES / "report.html.j2",
        labels=labels,
        figures=figures,
        max_loss_db=MAX_LOSS_DB,
        tiles=make_tiles(figures),
        examples=_choose_examples(inputs, figures["rejections"]),
        sheets=_embed_contact_sheets(inputs),
        charts=_draw_charts(inputs.run, figures["training"]),
        job=dataclasses.asdict(job),
        tables={name: _make_table(figures, name) for name in figures["benchmarks"]},
        images={name: _embed_images(inputs, figures, name) for name in figures["benchmarks"]},
    )


def _make_gain_tile(figures: Figures) -> StatTile:
    benchmark = figures["benchmark"]
    label = f"over bicubic on {benchmark}" if benchmark else "over bicubic"
    gains = figures["gain_db"].get(benchmark, {})
    names = sort_formats(name for name in gains if name not in BASELINES)
    if not names:
        return StatTile(f"{formatting.NO_VALUE} dB", label, "not evaluated")
    others = "".join(
        f"; {name} {formatting.signed(gains[name], 2)}" for name in names[1:] if name in ("fp16", "int8")
    )
    note = f"{labels.model_label(names[0])}{others}"
    return StatTile(f"{formatting.signed(gains[names[0]], 2)} dB", label, note)


def _make_speed_tile(figures: Figures) -> StatTile:
    timings = {name: timing for name, timing in figures["timings"].items() if name not in BASELINES}
    if not timings:
        return StatTile(formatting.NO_VALUE, "ms per frame", "not timed")
    fastest = min(timings, key=lambda name: timings[name]["median_ms"])
    timing = timings[fastest]
    lr_size, hr_size = (f"{sides[0]}x{sides[1]}" for sides in (timing["lr_image_px"], timing["hr_image_px"]))
    return StatTile(
        f"{formatting.milliseconds(timing['median_ms'])} ms",
        f"per {lr_size} → {hr_size} frame",
        f"{labels.model_label(fastest)}, the fastest format",
    )


def _make_deploy_tile(figures: Figures) -> StatTile:
    chosen = figures["deploy"]
    if chosen is None:
        return StatTile("none", "to deploy", f"no exported file is within {MAX_LOSS_DB} dB of PyTorch")
    label = f"to deploy, {formatting.size(chosen['bytes'])}"
    return StatTile(labels.model_label(chosen["format"]), label, chosen["path"])


def _choose_examples(inputs: ReportInputs, counts: dict[str, int]) -> list[Rejection]:
    """Return the first rejections of each reason, the most frequent reason first."""
    missing = {reason: min(count, EXAMPLES_PER_REASON) for reason, count in counts.items()}
    examples: dict[str, list[Rejection]] = {reason: [] for reason in counts}
    for rejection in _read_rejections(inputs):
        if missing.get(rejection.reason):
            missing[rejection.reason] -= 1
            examples[rejection.reason].append(rejection)
            if not any(missing.values()):
                break
    return [rejection for group in examples.values() for rejection in group]


def _read_rejections(inputs: ReportInputs) -> Iterator[Rejection]:
    for directory in (*inputs.datasets, inputs.selection):
        path = directory / "rejections.jsonl"
        if path.is_file():
            yield from read_rejections(path)


def _embed_contact_sheets(inputs: ReportInputs) -> list[dict[str, Any]]:
    """Return the dataset's name and the contact sheet of each dataset, as a data: URI; None where there is none."""
    sheets: list[dict[str, Any]] = []
    for directory in inputs.datasets:
        path = directory / "contact-sheet.jpg"
        uri = None
        if path.is_file():
            uri = data_uri(encode_jpeg(decode(path.read_bytes()), JPEG_QUALITY), "jpeg")
        sheets.append({"dataset": directory.name.rpartition("-")[0], "uri": uri})
    return sheets


def _draw_charts(run: Path, training: Figures) -> list[tuple[str, Markup]]:
    """Draw the loss and the validation PSNR by epoch, each with its caption; leave out charts without finite values."""
    history = list(read_jsonl(run / HISTORY)) if (run / HISTORY).is_file() else []
    losses = [(line["epoch"], _as_float(line["loss"])) for line in history]
    psnrs = [(line["epoch"], _as_float(line["psnr_db"])) for line in history]
    markers = [
        Marker(f"best, {formatting.fixed(y, 2)} dB", x, y)
        for x, y in psnrs
        if x == training["best_epoch"] and math.isfinite(y)
    ]
    bicubic_db = _as_float(training["bicubic_psnr_db"])
    references = (
        [ReferenceLine(f"bicubic, {bicubic_db:.2f} dB", bicubic_db)] if math.isfinite(bicubic_db) else []
    )
    charts = []
    if _has_finite(losses):
        caption = "Training loss, the mean of each epoch"
        charts.append((caption, draw_chart(losses, title=caption, x_label="epoch", y_label="loss")))
    if _has_finite(psnrs):
        caption = "PSNR on the validation crops"
        drawing = draw_chart(
            psnrs, title=caption, x_label="epoch", y_label="dB", references=references, markers=markers
        )
        charts.append((caption, drawing))
    return charts


def _as_float(value: float | None) -> float:
    return math.nan if value is None else value


def _has_finite(points: Sequence[Point]) -> bool:
    return any(math.isfinite(y) for _, y in points)


def _make_table(figures: Figures, benchmark: str) -> list[dict[str, Any]]:
    """Make the table of one benchmark dataset: a row for each baseline and each format."""
    chosen = (figures["deploy"] or {}).get("format")
    return [
        {
            "name": name,
            **row,
            "timing": figures["timings"].get(name),
            "bytes": figures["files"].get(name, {}).get("bytes"),
            "chosen": name == chosen,
            "baseline": name in BASELINES,
        }
        for name, row in figures["benchmarks"][benchmark]["models"].items()
    ]


def _embed_images(inputs: ReportInputs, figures: Figures, benchmark: str) -> dict[str, Any]:
    """Embed the side-by-side images of the file to deploy, else of PyTorch, else of the first format there is."""
    by_format = inputs.evaluations[benchmark]
    preferred = [(figures["deploy"] or {}).get("format", TORCH), TORCH, *sort_formats(by_format)]
    name = next(name for name in preferred if name in by_format)
    rows = read_json(by_format[name] / "report.json")["per_image"]
    return {"model": name, "shown": embed_panels(rows, by_format[name]), "total": len(rows)}
