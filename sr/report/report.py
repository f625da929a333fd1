"""The report of a whole run: report.html, a page that needs nothing beside it, and report.json, its figures.

It shows what the stages recorded. It never measures, and reads no pixels but those of contact sheets and
side-by-side images.
"""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from data.atomic_files import read_json, read_jsonl, write_bytes, write_json
from data.record_json import from_plain
from data.records import Rejection, TrainingJob
from data.shards import read_rejections
from sr.evaluation import panels
from sr.html import formatting
from sr.html.line_chart import Mark, Reference, chart
from sr.html.pages import fill
from sr.report.figures import (
    BASELINES,
    LARGEST_LOSS_DB,
    TORCH,
    Figures,
    ReportInputs,
    finite,
    gather,
    in_order,
)
from sr.training.run_files import HISTORY, JOB

EXAMPLES_EACH = 4
"""Rejections of one reason that are shown."""


@dataclasses.dataclass(frozen=True)
class Tile:
    """One of the numbers that matter, in words."""

    value: str
    label: str
    note: str


def write_report(inputs: ReportInputs, out_dir: Path) -> dict[str, Any]:
    """Write report.html and, last, report.json.

    Equal inputs give equal bytes; what a clock had a part in stands under "timings", and decides "deploy".

    Args:
        inputs: finished directories of the store.
        out_dir: made if missing.

    Returns:
        What report.json holds: totals, datasets, rejections, training, model, benchmarks, gain_db (over
        bicubic, by benchmark and form), benchmark (the first one) and its protocol, files, timings (by form,
        of a 256x256 frame), deploy, versions, made_from.

    Raises:
        UserError: a record is missing, damaged or of another version.
    """
    figures = gather(inputs)
    write_bytes(out_dir / "report.html", render(figures, inputs))
    report = finite(figures)
    write_json(out_dir / "report.json", report)
    return report


def headline(figures: Figures) -> str:
    """Return the five numbers that matter as five lines, for a terminal.

    Args:
        figures: the content of report.json.
    """
    return "\n".join(f"{tile.value} {tile.label} ({tile.note})" for tile in tiles(figures))


def tiles(figures: Figures) -> tuple[Tile, ...]:
    """Return the five numbers that matter: images, crops, dB gained, ms a frame, and the file to deploy.

    Args:
        figures: as `gather` gives them, or the content of report.json.
    """
    totals = figures["totals"]
    count = {name: formatting.count(number) for name, number in totals.items()}
    dropped = (
        formatting.plural(totals["sources_rejected"], "more file") if totals["sources_rejected"] else "none"
    )
    kept = f"of {count['crops']}: {count['train']} to train, {count['validation']} to validate"
    return (
        Tile(count["sources"], "images in", f"and {dropped} thrown out before cropping"),
        Tile(count["kept"], "crops kept", kept),
        _gain(figures),
        _speed(figures),
        _deployed(figures),
    )


def render(figures: Figures, inputs: ReportInputs) -> bytes:
    """Return the page. All that comes from files is escaped in it."""
    job = from_plain(TrainingJob, read_json(inputs.run / JOB), str(inputs.run / JOB))
    return fill(
        "report.html.j2",
        figures=figures,
        largest_loss_db=LARGEST_LOSS_DB,
        tiles=tiles(figures),
        examples=_examples(inputs, figures["rejections"]),
        sheets=_contact_sheets(inputs),
        charts=_charts(inputs.run, figures["training"]),
        job=dataclasses.asdict(job),
        tables={name: _table(figures, name) for name in figures["benchmarks"]},
        images={name: _images(inputs, figures, name) for name in figures["benchmarks"]},
    )


def _gain(figures: Figures) -> Tile:
    benchmark = figures["benchmark"]
    gains = figures["gain_db"].get(benchmark, {})
    forms = in_order(form for form in gains if form not in BASELINES)
    first = next(iter(forms), None)
    others = "".join(
        f"; {form} {formatting.signed(gains[form], 2)}" for form in forms[1:] if form in ("fp16", "int8")
    )
    note = f"{formatting.form_name(first)}{others}" if first else "not evaluated"
    label = f"over bicubic on {benchmark}" if benchmark else "over bicubic"
    return Tile(f"{formatting.signed(gains.get(first), 2)} dB", label, note)


def _speed(figures: Figures) -> Tile:
    timed = {form: timing for form, timing in figures["timings"].items() if form not in BASELINES}
    if not timed:
        return Tile(formatting.NOTHING, "ms per frame", "not timed")
    form = min(timed, key=lambda name: timed[name]["median_ms"])
    lr_image, hr_image = (
        f"{sides[0]}x{sides[1]}" for sides in (timed[form]["lr_image_px"], timed[form]["hr_image_px"])
    )
    note = f"{formatting.form_name(form)}, the fastest form"
    return Tile(
        f"{formatting.milliseconds(timed[form]['median_ms'])} ms", f"per {lr_image} → {hr_image} frame", note
    )


def _deployed(figures: Figures) -> Tile:
    chosen = figures["deploy"]
    if chosen is None:
        return Tile("none", "to deploy", f"no exported file is within {LARGEST_LOSS_DB} dB of PyTorch")
    label = f"to deploy, {formatting.size(chosen['bytes'])}"
    return Tile(formatting.form_name(chosen["form"]), label, chosen["path"])


def _examples(inputs: ReportInputs, counts: dict[str, int]) -> list[Rejection]:
    """Return the first rejections of each reason, the most frequent reason first."""
    missing = {reason: min(count, EXAMPLES_EACH) for reason, count in counts.items()}
    found: dict[str, list[Rejection]] = {reason: [] for reason in counts}
    for rejection in _rejections(inputs):
        if missing.get(rejection.reason):
            missing[rejection.reason] -= 1
            found[rejection.reason].append(rejection)
            if not any(missing.values()):
                break
    return [rejection for group in found.values() for rejection in group]


def _rejections(inputs: ReportInputs) -> Iterator[Rejection]:
    for directory in (*inputs.datasets, inputs.selection):
        path = directory / "rejections.jsonl"
        if path.is_file():
            yield from read_rejections(path)


def _contact_sheets(inputs: ReportInputs) -> list[dict[str, Any]]:
    sheets = []
    for directory in inputs.datasets:
        image = panels.read(directory / "contact-sheet.jpg")
        uri = None if image is None else panels.jpeg_uri(image)
        sheets.append({"dataset": directory.name.rpartition("-")[0], "uri": uri})
    return sheets


def _charts(run: Path, training: Figures) -> list[tuple[str, Markup]]:
    """Loss and validation PSNR against the epoch, each with its caption; without what has no finite value."""
    history = list(read_jsonl(run / HISTORY)) if (run / HISTORY).is_file() else []
    losses = [(line["epoch"], _number(line["loss"])) for line in history]
    levels = [(line["epoch"], _number(line["psnr_db"])) for line in history]
    shown = [(x, y) for x, y in levels if x == training["best_epoch"] and math.isfinite(y)]
    best = [Mark(f"best, {formatting.fixed(y, 2)} dB", x, y) for x, y in shown]
    bicubic = _number(training["bicubic_psnr_db"])
    references = [Reference(f"bicubic, {bicubic:.2f} dB", bicubic)] if math.isfinite(bicubic) else []
    drawn = (
        ("Training loss, the mean of each epoch", "loss", losses, [], []),
        ("PSNR on the validation crops", "dB", levels, references, best),
    )
    return [
        (caption, chart(points, title=caption, x_label="epoch", y_label=unit, references=lines, marks=marks))
        for caption, unit, points, lines, marks in drawn
        if any(math.isfinite(y) for _, y in points)
    ]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _table(figures: Figures, benchmark: str) -> list[dict[str, Any]]:
    chosen = (figures["deploy"] or {}).get("form")
    return [
        {
            "form": form,
            **row,
            "timing": figures["timings"].get(form),
            "bytes": figures["files"].get(form, {}).get("bytes"),
            "chosen": form == chosen,
            "baseline": form in BASELINES,
        }
        for form, row in figures["benchmarks"][benchmark]["forms"].items()
    ]


def _images(inputs: ReportInputs, figures: Figures, benchmark: str) -> dict[str, Any]:
    """The side-by-side images of the form to deploy, else of torch, else of the first that there is."""
    forms = inputs.evaluations[benchmark]
    preferred = [(figures["deploy"] or {}).get("form"), TORCH, *in_order(forms)]
    form = next(name for name in preferred if name in forms)
    rows = read_json(forms[form] / "report.json")["per_image"]
    return {"form": form, "shown": panels.show(rows, forms[form] / "images"), "of": len(rows)}
