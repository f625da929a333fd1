"""The figures of a whole run, gathered out of the records that its stages left: what report.json holds.

It reads records and file sizes, compares, and chooses the file to deploy. It measures and draws nothing.
"""

import dataclasses
import importlib.metadata
import math
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data.atomic_files import read_json
from data.errors import UserError
from data.record_json import from_plain, to_plain
from data.records import DatasetManifest, Reason, SelectionManifest

SCHEMA = 1
_VERSIONS = {"training.json": 2, "model.json": 2}
"""Of the records that are read, where it is not SCHEMA; their writers hold torch, which a report has no need of."""
TORCH = "torch"
FORMS = (TORCH, "onnx", "fp32", "fp16", "int8")
"""The forms of a model, in the order of a table; others may follow them."""
BASELINES = ("bicubic", "lanczos")
LIBRARIES = ("deepspeed", "nncf", "numpy", "onnx", "onnxruntime", "openvino", "pillow", "torch")
"""What a run's figures may depend on, beside DALI, whose package is named after its CUDA version."""
LARGEST_LOSS_DB = 0.2
"""By which an exported file's PSNR may lie below torch's, and still be the one to deploy."""
DIGITS = 4

WHOLE_IMAGE_REASONS = frozenset(
    {Reason.UNREADABLE, Reason.UNSUPPORTED, Reason.TOO_SMALL, Reason.TOO_LARGE, Reason.DUPLICATE}
)
"""Reasons for which a whole image is thrown out, not only a crop of it, nor a file that is no image."""

Figures = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class ReportInputs:
    """The directories of the store that a report is made of."""

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
    """By benchmark, then by form (of FORMS): evaluations/…: report.json, images/, run/timing.json."""


def gather(inputs: ReportInputs) -> Figures:
    """Return what is known of a run, as plain data; numbers may be infinite (see `finite`).

    Only what is under "timings", and "deploy", which is chosen by them, depends on the machine.

    Raises:
        UserError: a record is missing, damaged or of another version.
    """
    manifests = [_manifest(path) for path in inputs.datasets]
    selection = selection_manifest(inputs.selection)
    benchmarks = {name: _benchmark(name, forms) for name, forms in inputs.evaluations.items() if forms}
    files = _files(inputs)
    timings = _timings(inputs.evaluations)
    return {
        "schema": SCHEMA,
        "made_from": _made_from(inputs),
        "totals": _totals(manifests, selection),
        "datasets": [_dataset(path, one) for path, one in zip(inputs.datasets, manifests, strict=True)],
        "rejections": _rejections(manifests, selection),
        "training": record(inputs.run / "training.json"),
        "model": record(inputs.model / "model.json"),
        "benchmarks": benchmarks,
        "benchmark": next(iter(benchmarks), None),
        "gain_db": {name: _column(one["forms"], "gain_db") for name, one in benchmarks.items()},
        "protocol": next((one["protocol"] for one in benchmarks.values()), None),
        "files": files,
        "versions": _versions(),
        "timings": timings,
        "deploy": choose_file(files, benchmarks, timings),
    }


def finite(value: Any) -> Any:
    """Return JSON data with null for every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def choose_file(
    files: Mapping[str, Figures], benchmarks: Mapping[str, Figures], timings: Mapping[str, Figures]
) -> Figures | None:
    """Choose the file to deploy: the fastest exported form that loses at most LARGEST_LOSS_DB to torch.

    It must do so on every benchmark. A form without a timing comes after those with one; of two that are
    equally fast, the smaller wins.

    Returns:
        path, files, bytes and precision, or None where no exported form is good enough or none was evaluated.
    """
    good = [form for form in files if form != TORCH and _is_close(form, benchmarks)]
    if not good:
        return None
    milliseconds = {form: timings[form]["median_ms"] if form in timings else math.inf for form in good}
    best = min(good, key=lambda form: (milliseconds[form], files[form]["bytes"], form))
    return files[best] | {"form": best}


def _is_close(form: str, benchmarks: Mapping[str, Figures]) -> bool:
    differences = [one["forms"].get(form, {}).get("difference_db") for one in benchmarks.values()]
    return bool(differences) and all(item is not None and item >= -LARGEST_LOSS_DB for item in differences)


def record(path: Path) -> Figures:
    """Return a stage's record.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    found = read_json(path)
    version = found.get("schema") if isinstance(found, dict) else None
    expected = _VERSIONS.get(path.name, SCHEMA)
    if version != expected:
        remedy = "run the task that makes it again"
        raise UserError(f"a record of version {expected}", f"version {version}", str(path), remedy)
    return found


def store_name(directory: Path) -> str:
    """Return a target's directory as a path relative to the store: `<stage>/<name>-<12 hex>`."""
    return f"{directory.absolute().parent.name}/{directory.name}"


def selection_manifest(directory: Path) -> SelectionManifest:
    """Return the content of selection.json.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    path = directory / "selection.json"
    return from_plain(SelectionManifest, read_json(path), str(path))


def in_order(names: Iterable[str]) -> list[str]:
    """Return form names in the order of FORMS, then the others by name."""
    return sorted(names, key=lambda name: (FORMS.index(name) if name in FORMS else len(FORMS), name))


def _manifest(directory: Path) -> DatasetManifest:
    path = directory / "dataset.json"
    return from_plain(DatasetManifest, read_json(path), str(path))


def _made_from(inputs: ReportInputs) -> Figures:
    return {
        "datasets": [store_name(path) for path in inputs.datasets],
        "selection": store_name(inputs.selection),
        "run": store_name(inputs.run),
        "model": store_name(inputs.model),
        "exports": [store_name(path) for path in inputs.exports],
        "evaluations": {
            benchmark: {form: store_name(path) for form, path in forms.items()}
            for benchmark, forms in inputs.evaluations.items()
        },
    }


def _totals(manifests: list[DatasetManifest], selection: SelectionManifest) -> dict[str, int]:
    """Images that gave crops, whole ones thrown out, crops made and kept, their bytes, all rejections."""
    thrown_out = sum((Counter(one.rejections) for one in manifests), Counter())
    sums = sum((Counter(one.totals) for one in manifests), Counter())
    return {
        "sources": sums["sources"],
        "sources_rejected": sum(thrown_out[reason] for reason in WHOLE_IMAGE_REASONS),
        "crops": sums["crops"],
        "bytes": sums["bytes"],
        "train": selection.totals["train"],
        "validation": selection.totals["validation"],
        "kept": selection.totals["train"] + selection.totals["validation"],
        "rejected": sums["rejected"] + selection.totals["rejected"],
    }


def _dataset(directory: Path, manifest: DatasetManifest) -> Figures:
    plain = to_plain(manifest)
    del plain["shards"], plain["schema"], plain["sides"]
    return {"directory": store_name(directory)} | plain


def _rejections(manifests: list[DatasetManifest], selection: SelectionManifest) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for one in (*manifests, selection):
        counts.update(one.rejections)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _benchmark(benchmark: str, evaluations: Mapping[str, Path]) -> Figures:
    """One benchmark: its protocol, the baselines, and each form beside bicubic and torch."""
    reports = {form: record(evaluations[form] / "report.json") for form in in_order(evaluations)}
    first = next(iter(reports.values()))
    if odd := [form for form, one in reports.items() if _terms(one) != _terms(first)]:
        remedy = "run EvaluateModel again for all forms, with the same parameters"
        raise UserError("the same protocol and images for all forms", f"others for {odd}", benchmark, remedy)
    bicubic = first["baselines"]["bicubic"]["psnr_db"]
    torch = reports.get(TORCH, {}).get("mean", {}).get("psnr_db")
    rows = {name: first["baselines"][name] for name in BASELINES}
    rows |= {form: one["mean"] for form, one in reports.items()}
    return {
        "protocol": first["protocol"],
        "images": first["images"],
        "forms": {
            name: {
                "psnr_db": row["psnr_db"],
                "ssim": row["ssim"],
                "gain_db": _difference(row["psnr_db"], bicubic),
                "difference_db": None if name in BASELINES else _difference(row["psnr_db"], torch),
            }
            for name, row in rows.items()
        },
    }


def _terms(report: Figures) -> tuple[Figures, int]:
    """What two reports must share for their figures to compare."""
    return report["protocol"], report["images"]


def _column(rows: Mapping[str, Figures], name: str) -> Figures:
    return {form: row[name] for form, row in rows.items()}


def _difference(value: float | None, reference: float | None) -> float | None:
    """How much more, in dB; None where that has no meaning."""
    if value is None or reference is None or not math.isfinite(reference):
        return None
    return round(value - reference, DIGITS)


def _files(inputs: ReportInputs) -> dict[str, Figures]:
    """The files of each form: the one to open, all that belong to it, and their bytes together."""
    weights = inputs.model / "model.safetensors"
    found = {TORCH: _file(inputs.model, {weights.name: weights.stat().st_size}, weights.name, "fp32")}
    for directory in inputs.exports:
        export = record(directory / "export.json")
        sizes = {name: entry["bytes"] for name, entry in export["files"].items()}
        precision = export["metadata"]["precision"]
        opened = next(name for name in sizes if name.endswith((".onnx", ".xml")))
        found["onnx" if opened.endswith(".onnx") else precision] = _file(directory, sizes, opened, precision)
    return {form: found[form] for form in in_order(found)}


def _file(directory: Path, sizes: dict[str, int], opened: str, precision: str) -> Figures:
    return {
        "path": f"{store_name(directory)}/{opened}",
        "files": sorted(sizes),
        "bytes": sum(sizes.values()),
        "precision": precision,
    }


def _versions() -> dict[str, str]:
    """The versions of what made the report and, unless something was installed since, the rest."""
    found = {"python": platform.python_version()}
    for package in importlib.metadata.distributions():
        name = package.name.lower()
        if name in LIBRARIES or name.startswith("nvidia-dali-cuda"):
            found[name] = package.version
    return dict(sorted(found.items()))


def _timings(evaluations: Mapping[str, Mapping[str, Path]]) -> dict[str, Figures]:
    """Milliseconds a frame by form, out of the first benchmark that timed it: all time the same frame."""
    timings: dict[str, Figures] = {}
    for forms in evaluations.values():
        for form in in_order(forms):
            path = forms[form] / "run" / "timing.json"
            if form not in timings and path.is_file():
                timing = read_json(path)
                timings[form] = timing["frame"] | {"host": timing["host"]}
    return timings
