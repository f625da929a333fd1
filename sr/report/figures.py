"""Gather the figures of a whole run from the records of its stages: what report.json holds.

It reads records and file sizes, and compares figures. It measures and draws nothing.
"""

import dataclasses
import importlib.metadata
import math
import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.atomic_files import read_json
from data.errors import UserError
from data.record_json import from_plain, to_plain
from data.records import DatasetManifest, RejectionReason
from data.selection import SelectionManifest
from sr.report.deployment import choose_file
from sr.report.formats import BASELINES, TORCH, Figures, sort_formats

SCHEMA = 2
_VERSIONS = {"training.json": 3, "model.json": 3}
"""Versions of records other than SCHEMA. The modules that write them import torch, which a report does not need."""
LIBRARIES = ("deepspeed", "nncf", "numpy", "onnx", "onnxruntime", "openvino", "pillow", "torch")
"""Libraries that a run's figures may depend on, beside DALI, whose package name contains its CUDA version."""
DIGITS = 4

WHOLE_IMAGE_REASONS = frozenset(
    {
        RejectionReason.UNREADABLE,
        RejectionReason.UNSUPPORTED,
        RejectionReason.TOO_SMALL,
        RejectionReason.TOO_LARGE,
        RejectionReason.DUPLICATE,
    }
)
"""Reasons that reject a whole image, rather than a crop of it or a file that is not an image."""

_DATASET_FIELDS = (
    "name",
    "spec_hash",
    "title",
    "license",
    "citation",
    "crop_size_px",
    "image_extension",
    "totals",
    "rejections",
)
"""What a report repeats of each dataset's record."""


@dataclasses.dataclass(frozen=True)
class ReportInputs:
    """The directories of the store that a report is made from."""

    datasets: tuple[Path, ...]
    """crops/…: dataset.json, rejections.jsonl, contact-sheet.jpg."""
    selection: Path
    """selections/…: selection.json, rejections.jsonl."""
    run: Path
    """runs/…: job.json, history.jsonl, training.json."""
    model: Path
    """models/…: model.safetensors, model.json."""
    exports: tuple[Path, ...]
    """exports/…: export.json beside the files that it names."""
    evaluations: Mapping[str, Mapping[str, Path]]
    """By benchmark dataset, then by format (of FORMATS): evaluations/…: report.json, panels/, run/timing.json."""


def gather_figures(inputs: ReportInputs) -> Figures:
    """Gather what is known of a run, as plain data; numbers may be infinite (see `replace_infinite`).

    Only "timings", and "deploy", which is chosen by them, depend on the machine.

    Returns:
        See `sr.report.report.write_report`.

    Raises:
        UserError: a record is missing, damaged or of another version.
    """
    manifests = [_read_dataset(path) for path in inputs.datasets]
    selection = _read_selection(inputs.selection)
    benchmarks = {
        name: _compare_formats(name, by_format) for name, by_format in inputs.evaluations.items() if by_format
    }
    files = _list_files(inputs)
    timings = _read_timings(inputs.evaluations)
    return {
        "schema": SCHEMA,
        "made_from": _list_inputs(inputs),
        "totals": _sum_totals(manifests, selection),
        "datasets": [
            _describe_dataset(path, manifest)
            for path, manifest in zip(inputs.datasets, manifests, strict=True)
        ],
        "rejections": _count_rejections(manifests, selection),
        "training": read_record(inputs.run / "training.json"),
        "model": read_record(inputs.model / "model.json"),
        "benchmarks": benchmarks,
        "benchmark": next(iter(benchmarks), None),
        "gain_db": {
            name: {model: row["gain_db"] for model, row in benchmark["models"].items()}
            for name, benchmark in benchmarks.items()
        },
        "protocol": next((benchmark["protocol"] for benchmark in benchmarks.values()), None),
        "files": files,
        "versions": _find_versions(),
        "timings": timings,
        "deploy": choose_file(files, benchmarks, timings),
    }


def replace_infinite(value: Any) -> Any:
    """Return JSON data with null in place of every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: replace_infinite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_infinite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_record(path: Path) -> Figures:
    """Read the record of a stage.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    record: Figures = read_json(path)
    version = record.get("schema") if isinstance(record, dict) else None
    expected = _VERSIONS.get(path.name, SCHEMA)
    if version != expected:
        raise UserError(
            f"{path} has version {version}, but this program reads version {expected}",
            "Run the task that makes it again",
        )
    return record


def store_name(directory: Path) -> str:
    """Return the path of a target's directory relative to the store: `<stage>/<name>-<12 hex>`."""
    return f"{directory.absolute().parent.name}/{directory.name}"


def _read_dataset(directory: Path) -> DatasetManifest:
    path = directory / "dataset.json"
    return from_plain(DatasetManifest, read_json(path), str(path))


def _read_selection(directory: Path) -> SelectionManifest:
    path = directory / "selection.json"
    return from_plain(SelectionManifest, read_json(path), str(path))


def _list_inputs(inputs: ReportInputs) -> Figures:
    return {
        "datasets": [store_name(path) for path in inputs.datasets],
        "selection": store_name(inputs.selection),
        "run": store_name(inputs.run),
        "model": store_name(inputs.model),
        "exports": [store_name(path) for path in inputs.exports],
        "evaluations": {
            benchmark: {name: store_name(path) for name, path in by_format.items()}
            for benchmark, by_format in inputs.evaluations.items()
        },
    }


def _sum_totals(manifests: list[DatasetManifest], selection: SelectionManifest) -> dict[str, int]:
    """Sum over the datasets: images with crops, whole images rejected, crops made and kept, bytes, all rejections."""
    rejections: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for manifest in manifests:
        rejections.update(manifest.rejections)
        sums.update(manifest.totals)
    return {
        "sources": sums["sources"],
        "sources_rejected": sum(rejections[reason] for reason in WHOLE_IMAGE_REASONS),
        "crops": sums["crops"],
        "bytes": sums["bytes"],
        "train": selection.totals["train"],
        "validation": selection.totals["validation"],
        "kept": selection.totals["train"] + selection.totals["validation"],
        "rejected": sums["rejected"] + selection.totals["rejected"],
    }


def _describe_dataset(directory: Path, manifest: DatasetManifest) -> Figures:
    return {"directory": store_name(directory)} | {
        name: to_plain(getattr(manifest, name)) for name in _DATASET_FIELDS
    }


def _count_rejections(manifests: list[DatasetManifest], selection: SelectionManifest) -> dict[str, int]:
    """Count all rejections by reason, the most frequent first."""
    counts = Counter(selection.rejections)
    for manifest in manifests:
        counts.update(manifest.rejections)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _compare_formats(benchmark: str, evaluations: Mapping[str, Path]) -> Figures:
    """Compare the formats on one benchmark dataset with bicubic and with PyTorch."""
    reports = {name: read_record(evaluations[name] / "report.json") for name in sort_formats(evaluations)}
    first = next(iter(reports.values()))
    if differing := [name for name, report in reports.items() if _conditions(report) != _conditions(first)]:
        raise UserError(
            f"{', '.join(differing)} was evaluated on {benchmark} by another protocol or on other images than the rest",
            "Run EvaluateModel again for all formats, with the same parameters",
        )
    bicubic_db = first["baselines"]["bicubic"]["psnr_db"]
    torch_db = reports.get(TORCH, {}).get("mean", {}).get("psnr_db")
    means = {name: first["baselines"][name] for name in BASELINES}
    means |= {name: report["mean"] for name, report in reports.items()}
    return {
        "protocol": first["protocol"],
        "images": first["images"],
        "models": {
            name: {
                "psnr_db": mean["psnr_db"],
                "ssim": mean["ssim"],
                "gain_db": _difference(mean["psnr_db"], bicubic_db),
                "difference_db": None if name in BASELINES else _difference(mean["psnr_db"], torch_db),
            }
            for name, mean in means.items()
        },
    }


def _conditions(report: Figures) -> tuple[Figures, int]:
    """Return what must be equal for the figures of two reports to be comparable."""
    return report["protocol"], report["images"]


def _difference(value_db: float | None, reference_db: float | None) -> float | None:
    """Return by how much a value is above a reference, in dB; None where that has no meaning."""
    if value_db is None or reference_db is None or not math.isfinite(reference_db):
        return None
    return round(value_db - reference_db, DIGITS)


def _list_files(inputs: ReportInputs) -> dict[str, Figures]:
    """List the files of each format: the one to open, all that belong to it, and their total size."""
    weights = inputs.model / "model.safetensors"
    sizes = {weights.name: weights.stat().st_size}
    found = {TORCH: _describe_file(inputs.model, sizes, weights.name, "fp32")}
    for directory in inputs.exports:
        export = read_record(directory / "export.json")
        sizes = {name: entry["bytes"] for name, entry in export["files"].items()}
        precision = export["metadata"]["precision"]
        main = next(name for name in sizes if name.endswith((".onnx", ".xml")))
        model_format = "onnx" if main.endswith(".onnx") else precision
        found[model_format] = _describe_file(directory, sizes, main, precision)
    return {name: found[name] for name in sort_formats(found)}


def _describe_file(directory: Path, sizes: dict[str, int], main: str, precision: str) -> Figures:
    return {
        "path": f"{store_name(directory)}/{main}",
        "files": sorted(sizes),
        "bytes": sum(sizes.values()),
        "precision": precision,
    }


def _find_versions() -> dict[str, str]:
    """Find the versions of Python and LIBRARIES: the run's too, unless something was installed since."""
    found = {"python": platform.python_version()}
    for package in importlib.metadata.distributions():
        name = package.name.lower()
        if name in LIBRARIES or name.startswith("nvidia-dali-cuda"):
            found[name] = package.version
    return dict(sorted(found.items()))


def _read_timings(evaluations: Mapping[str, Mapping[str, Path]]) -> dict[str, Figures]:
    """Read the milliseconds per frame by format, from the first evaluation that has them: all time the same frame."""
    timings: dict[str, Figures] = {}
    for by_format in evaluations.values():
        for name in sort_formats(by_format):
            path = by_format[name] / "run" / "timing.json"
            if name not in timings and path.is_file():
                timing = read_json(path)
                timings[name] = timing["frame"] | {"host": timing["host"]}
    return timings
