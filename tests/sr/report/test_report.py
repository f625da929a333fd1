"""The report: its figures are those of the records, the page needs no other file, and no file name can break it."""

import json
import shutil
from pathlib import Path

import pytest
import skimage.data
from parsed_page import ParsedPage

from data.atomic_files import write_bytes, write_json, write_jsonl
from data.errors import UserError
from data.imaging.encode import encode_jpeg
from data.record_json import to_plain
from data.records import SCHEMA, DatasetManifest, Rejection, RejectionReason
from data.selection import SelectionManifest
from sr.evaluation.evaluate import evaluate
from sr.evaluation.protocols import EvaluationProtocol
from sr.report.figures import ReportInputs
from sr.report.report import format_headline, make_tiles, write_report
from sr.runtime.filters import PillowUpscaler
from sr.training.job import TrainingJob

HOSTILE = '<script>alert("1")</script>&\u202e.png'
PROTOCOL = EvaluationProtocol(scale=2, channel="rgb", border_px=2, degradation="pillow-bicubic")
DATASET_REJECTIONS = [
    Rejection("notes.txt", "index", RejectionReason.NOT_AN_IMAGE, "none of .png, .jpg"),
    Rejection(HOSTILE, "index", RejectionReason.TOO_SMALL, "300x200; the shorter side must be at least 512"),
    *(
        Rejection(f"aa-1-{place:04d}", "pack", RejectionReason.FLAT, f"sky.png: contrast {place}")
        for place in range(9)
    ),
]
SELECTION_REJECTIONS = [
    Rejection("bb-1-0000", "select", RejectionReason.NEAR_DUPLICATE, "nearly the same as cc-1-0000")
]
MEANS = {"torch": 33.0, "onnx": 33.0, "fp32": 32.9999, "fp16": 32.995, "int8": 32.9}
MILLISECONDS = {"torch": 40.0, "onnx": 20.0, "fp32": 12.5, "fp16": 6.25, "int8": 4.126}


def _count_reasons(rejections):
    return {
        reason: sum(one.reason == reason for one in rejections)
        for reason in {one.reason for one in rejections}
    }


def make_store(root: Path, formats=tuple(MEANS), rejections=True) -> ReportInputs:
    """Write every record of a small run, with evaluations of real images."""
    dropped, deselected = (DATASET_REJECTIONS, SELECTION_REJECTIONS) if rejections else ([], [])
    dataset, selection = root / "crops" / "Sample-0123456789ab", root / "selections" / "Sample-0123456789ab"
    manifest = DatasetManifest(
        schema=DatasetManifest.VERSION,
        name="Sample",
        spec_hash="0123456789ab",
        title="Drawings & <leaves>",
        license="MIT",
        crop_size_px=512,
        image_extension="png",
        shards=(),
        totals={"sources": 96, "crops": 1200, "bytes": 345_678_901, "rejected": len(dropped)},
        rejections=_count_reasons(dropped),
        citation="",
        file_sha256={},
    )
    write_jsonl(dataset / "rejections.jsonl", map(to_plain, dropped))
    write_bytes(dataset / "contact-sheet.jpg", encode_jpeg(skimage.data.chelsea()[:128, :256]))
    write_json(dataset / "dataset.json", to_plain(manifest))
    chosen = SelectionManifest(
        schema=SCHEMA,
        spec_hash="0123456789ab",
        crop_size_px=512,
        image_extension="png",
        splits={},
        totals={"train": 1100, "validation": 60, "rejected": len(deselected)},
        rejections=_count_reasons(deselected),
    )
    write_jsonl(selection / "rejections.jsonl", map(to_plain, deselected))
    write_json(selection / "selection.json", to_plain(chosen))
    exports = tuple(_export(root, name) for name in formats if name != "torch")
    evaluations = _evaluations(root, formats)
    return ReportInputs((dataset,), selection, _run(root), _model(root), exports, {"Photos": evaluations})


def _run(root: Path) -> Path:
    run = root / "runs" / "realtime-x2-0123456789ab"
    job = TrainingJob("realtime-x2", "../../selections/Sample-0123456789ab/selection.json", "0123456789ab")
    levels = [30.0, 31.5, 32.0, 31.9]
    lines = [{"epoch": n, "step": 50 * n, "loss": 0.05 / n, "psnr_db": levels[n - 1]} for n in range(1, 5)]
    write_json(run / "job.json", to_plain(job))
    write_jsonl(run / "history.jsonl", lines)
    record = {
        "schema": 3,
        "preset": "realtime-x2",
        "steps": 200,
        "epochs": 4,
        "best_epoch": 3,
        "best_psnr_db": 32.0,
        "bicubic_psnr_db": 31.0,
        "stopped_by": "patience",
        "warnings": [{"step": 150, "kind": "exploding", "text": "the loss <grew>"}],
        "changes": [{"step": 100, "field": "learning_rate", "from": 0.001, "to": 0.0005}],
        "weights_sha256": "ab" * 32,
    }
    write_json(run / "training.json", record)
    return run


def _model(root: Path) -> Path:
    model = root / "models" / "realtime-x2-0123456789ab"
    write_bytes(model / "model.safetensors", bytes(400_000))
    record = {
        "schema": 3,
        "preset": "realtime-x2",
        "architecture": "realtime",
        "configuration": {"scale": 2, "layers": 5, "channels": 48},
        "scale": 2,
        "size_multiple": 2,
        "parameters": 91_788,
        "weights_sha256": "ab" * 32,
    }
    write_json(model / "model.json", record)
    return model


def _export(root: Path, name: str) -> Path:
    directory = root / "exports" / f"realtime-x2-{name}-0123456789ab"
    sizes = {"model.onnx": 370_000} if name == "onnx" else {"model.xml": 50_000, "model.bin": 100_000}
    files = {name: {"bytes": size, "sha256": "cd" * 32} for name, size in sizes.items()}
    precision = "fp32" if name == "onnx" else name
    write_json(directory / "export.json", {"schema": 2, "metadata": {"precision": precision}, "files": files})
    return directory


def _evaluations(root: Path, formats) -> dict[str, Path]:
    """Evaluate real images once, and copy the evaluation for each format with figures of its own."""
    images = [(f"{HOSTILE}{n}", skimage.data.chelsea()[n * 9 : n * 9 + 70, :90]) for n in range(2)]
    evaluate(PillowUpscaler("lanczos", 2), images, PROTOCOL, root / "made")
    directories = {name: root / "evaluations" / f"realtime-x2-{name}-Photos-0123456789ab" for name in formats}
    for name, directory in directories.items():
        shutil.copytree(root / "made", directory)
        _change(
            directory / "report.json", lambda record, name=name: record["mean"].update(psnr_db=MEANS[name])
        )
        _change(directory / "report.json", lambda record: record["baselines"]["bicubic"].update(psnr_db=32.1))
        _set_milliseconds(directory, MILLISECONDS[name])
    return directories


def _set_milliseconds(evaluation: Path, value: float) -> None:
    frame = {
        "lr_image_px": [256, 256],
        "hr_image_px": [512, 512],
        "median_ms": value,
        "min_ms": value,
        "max_ms": 2 * value,
    }
    write_json(
        evaluation / "run" / "timing.json", {"frame": frame, "host": {"processor": "<Chip>", "cores": 2}}
    )


def _change(path: Path, change) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def page(store, tmp_path_factory):
    out_dir = tmp_path_factory.mktemp("report")
    write_report(store, out_dir)
    return ParsedPage((out_dir / "report.html").read_text())


def test_figures_are_those_of_the_records(store, tmp_path):
    report = write_report(store, tmp_path)
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert report["totals"] == {
        "sources": 96,
        "sources_rejected": 1,
        "crops": 1200,
        "bytes": 345_678_901,
        "train": 1100,
        "validation": 60,
        "kept": 1160,
        "rejected": 12,
    }
    assert next(iter(report["rejections"].items())) == ("flat", 9)
    assert report["gain_db"]["Photos"] == {
        "bicubic": 0.0,
        "lanczos": pytest.approx(
            report["benchmarks"]["Photos"]["models"]["lanczos"]["psnr_db"] - 32.1, abs=1e-4
        ),
        "torch": 0.9,
        "onnx": 0.9,
        "fp32": 0.8999,
        "fp16": 0.895,
        "int8": 0.8,
    }
    assert report["benchmarks"]["Photos"]["models"]["fp16"]["difference_db"] == -0.005
    assert {name: timing["median_ms"] for name, timing in report["timings"].items()} == MILLISECONDS
    assert report["files"]["torch"]["bytes"] == 400_000
    assert report["protocol"]["name"] == "rgb-x2-border2-pillow-bicubic"


def test_the_fastest_format_close_to_torch_is_deployed(store, tmp_path):
    assert write_report(store, tmp_path)["deploy"] == {
        "format": "int8",
        "path": "exports/realtime-x2-int8-0123456789ab/model.xml",
        "files": ["model.bin", "model.xml"],
        "bytes": 150_000,
        "precision": "int8",
    }


def test_a_fast_format_that_lost_too_much_is_not_deployed(tmp_path):
    store = make_store(tmp_path / "store")
    _change(
        store.evaluations["Photos"]["int8"] / "report.json",
        lambda record: record["mean"].update(psnr_db=32.79),
    )
    assert write_report(store, tmp_path / "out")["deploy"]["format"] == "fp16"


def test_no_file_is_deployed_if_none_can_be_compared_with_torch(tmp_path):
    report = write_report(make_store(tmp_path / "store", formats=("onnx", "int8")), tmp_path / "out")
    assert report["deploy"] is None
    assert report["gain_db"]["Photos"]["int8"] == 0.8
    assert "none to deploy" in ParsedPage((tmp_path / "out" / "report.html").read_text()).text


def test_the_page_needs_no_other_file(page):
    assert not page.open
    assert "script" not in page.tags
    assert page.references
    for reference in page.references:
        assert reference.startswith("data:image/") or reference[1:] in page.ids, reference[:80]


def test_the_page_shows_what_a_newcomer_looks_for(page):
    for phrase in (
        "96 source images 1 rejected before cropping",
        "1,160 crops kept of 1,200: 1,100 for training, 60 for validation",
        "+0.90 dB over bicubic on Photos PyTorch fp32; fp16 +0.90; int8 +0.80",
        "4.13 ms per 256x256 → 512x512 frame OpenVINO int8, the fastest format",
        "OpenVINO int8 to deploy, 150 kB exports/realtime-x2-int8-0123456789ab/model.xml",
        "near duplicate 1 The crop looks nearly the same as another one.",
        "too small index " + HOSTILE,
        "It stopped early",
        "The weights of epoch 3 were kept",
        "learning_rate from 0.001 to 0.0005",
        "at step 150: the loss <grew>",
        "measured on red, green and blue together",
        "PyTorch fp32 33.00",
        "−0.100",
        "91,788 parameters",
    ):
        assert phrase in page.text, phrase
    assert page.text.count("aa-1-") == 4  # examples of a frequent reason are limited
    assert page.text.count("model, ") == 2


def test_equal_inputs_give_equal_bytes_and_durations_change_only_timings_and_deploy(tmp_path):
    store = make_store(tmp_path / "store")
    first, again = (write_report(store, tmp_path / name) for name in ("first", "again"))
    assert first == again
    assert (tmp_path / "first" / "report.html").read_bytes() == (
        tmp_path / "again" / "report.html"
    ).read_bytes()
    _set_milliseconds(store.evaluations["Photos"]["int8"], 50.0)
    slower = write_report(store, tmp_path / "slower")
    assert {key for key in first if first[key] != slower[key]} == {"timings", "deploy"}


def test_the_page_says_what_is_missing(tmp_path):
    store = make_store(tmp_path / "store", formats=("torch",), rejections=False)
    evaluation = store.evaluations["Photos"]["torch"]
    (store.datasets[0] / "contact-sheet.jpg").unlink()
    (store.datasets[0] / "rejections.jsonl").unlink()
    (store.run / "history.jsonl").write_text("")
    (evaluation / "run" / "timing.json").unlink()
    shutil.rmtree(evaluation / "panels")
    _change(
        store.run / "training.json",
        lambda record: record.update(best_epoch=0, best_psnr_db=None, bicubic_psnr_db=None),
    )
    write_report(store, tmp_path / "out")
    text = ParsedPage((tmp_path / "out" / "report.html").read_text()).text
    for phrase in (
        "there is no contact sheet",
        "Nothing: every file",
        "There is no epoch with figures",
        "No format was timed",
        "no images to show",
        "not timed",
        "None: no exported file was evaluated",
    ):
        assert phrase in text, phrase


@pytest.mark.parametrize(("value", "shown"), [("Infinity", "∞"), ("null", "–")])
def test_a_psnr_that_is_not_finite_is_shown_as_such_and_stored_as_null(tmp_path, value, shown):
    store = make_store(tmp_path / "store", formats=("torch", "onnx"))
    path = store.evaluations["Photos"]["onnx"] / "report.json"
    path.write_text(path.read_text().replace('"psnr_db": 33.0', f'"psnr_db": {value}'))
    report = write_report(store, tmp_path / "out")
    assert report["benchmarks"]["Photos"]["models"]["onnx"]["psnr_db"] is None
    json.loads((tmp_path / "out" / "report.json").read_text(), parse_constant=pytest.fail)
    text = ParsedPage((tmp_path / "out" / "report.html").read_text()).text
    assert f"ONNX fp32 {shown} 0." in text.replace(" deploy", "")


def test_a_report_without_benchmarks(tmp_path):
    store = make_store(tmp_path / "store", formats=())
    report = write_report(ReportInputs(**{**vars(store), "evaluations": {}}), tmp_path / "out")
    assert report["deploy"] is None and report["gain_db"] == {}
    assert "No benchmark was run." in (tmp_path / "out" / "report.html").read_text()


def test_a_record_of_another_version_raises_and_leaves_nothing(tmp_path):
    store = make_store(tmp_path / "store", formats=("torch",))
    _change(store.model / "model.json", lambda record: record.update(schema=4))
    with pytest.raises(UserError, match=r"model\.json has version 4, .* reads version 3"):
        write_report(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_headline_is_formatted_from_report_json(store, tmp_path):
    report = write_report(store, tmp_path)
    stored = json.loads((tmp_path / "report.json").read_text())
    assert make_tiles(stored) == make_tiles(report)
    assert [tile.value for tile in make_tiles(stored)] == [
        "96",
        "1,160",
        "+0.90 dB",
        "4.13 ms",
        "OpenVINO int8",
    ]
    lines = format_headline(stored).splitlines()
    assert len(lines) == 5
    assert lines[2] == "+0.90 dB over bicubic on Photos (PyTorch fp32; fp16 +0.90; int8 +0.80)"


def test_formats_evaluated_by_different_protocols_raise(tmp_path):
    store = make_store(tmp_path / "store", formats=("torch", "int8"))
    path = store.evaluations["Photos"]["int8"] / "report.json"
    _change(path, lambda record: record["protocol"].update(channel="y"))
    with pytest.raises(UserError, match="int8 was evaluated on Photos by another protocol"):
        write_report(store, tmp_path / "out")
