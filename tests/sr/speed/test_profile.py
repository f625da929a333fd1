"""The profile of a small network: every row is there and adds up, whatever the machine's speed."""

import itertools
import json
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from data.errors import UserError
from sr.export.to_openvino import export_openvino
from sr.speed import device_profiler, peak, profiled_model, render
from sr.speed.profile import ProfileSettings, profile_model
from sr.speed.timing import TimingSettings

QUICK = TimingSettings(budget_s=0.0, min_rounds=2, max_rounds=2, warm_up_rounds=1)


def make_clock():
    """Make a clock on which everything that is timed takes a quarter of a second."""
    ticks = itertools.count()
    return lambda: next(ticks) / 4


@pytest.fixture(scope="module", autouse=True)
def small_peak():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peak, "CHANNELS", {8: 16, 16: 8})
        yield


@pytest.fixture(scope="module")
def files(realtime_irs):
    return {name: path / "model.xml" for name, path in realtime_irs.items()}


@pytest.fixture(scope="module")
def measured(realtime_dir, files, tmp_path_factory):
    """Return the record of a whole profile, and its directory."""
    out_dir = tmp_path_factory.mktemp("profile")
    settings = ProfileSettings(sizes=((15, 22), (32, 32)), devices=("CPU",), streams=(1, -1), timing=QUICK)
    with profiled_model.open_network("net <x2>", realtime_dir, files) as model:
        return profile_model(model, settings, out_dir, "this run", clock=make_clock()), out_dir


def test_every_precision_has_its_rows_and_they_add_up(measured):
    record, directory = measured
    assert record == json.loads((directory / "speed.json").read_text())
    assert record["run"] == "this run"
    cells = [(row["width"], row["precision"], row["mode"], row["streams"]) for row in record["rows"]]
    assert len(cells) == len(set(cells)) == 2 * (4 + 3 + 3)
    # An odd side is rounded up to what the network takes.
    assert {(row["height"], row["width"]) for row in record["rows"]} == {(16, 22), (32, 32)}
    peak_tops = record["devices"]["CPU"]["peak_tops"]
    gmac_per_px = record["model"]["gmac_720p"] * 4 / (720 * 1280)
    for row in record["rows"]:
        if row["mode"] == "latency":
            assert (row["median_ms"], row["frames_per_s"], row["speedup"]) == (250.0, 4.0, 1.0)
        tops = 2 * gmac_per_px * row["height"] * row["width"] * row["frames_per_s"] / 1000
        assert row["tops"] == pytest.approx(tops, abs=1e-4)
        limit = peak_tops["int8" if row["precision"] == "int8" else row["inference_precision"]]
        assert row["share_of_peak"] == pytest.approx(tops / max(limit.values()), rel=0.01, abs=1e-4)
    assert {row["inference_precision"] for row in record["rows"] if row["precision"] == "fp32"} == {"f32"}
    assert [row["precision"] for row in record["startup"]] == ["fp32", "fp16", "int8"]


def test_tables_chart_and_lines_show_every_precision(measured):
    record, directory = measured
    drawing = ElementTree.parse(directory / "speed.svg").getroot()
    texts = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"reference", "fp32", "fp16", "int8", "CPU 32x32"} <= set(texts)
    assert any("net <x2>" in text for text in texts)
    table = (directory / "speed.md").read_text()
    lines = render.format_lines(record)
    for precision in ("reference", "fp32", "fp16", "int8"):
        assert f"| 32x32 | {precision} |" in table
        assert sum(f"32x32 {precision}: 250 ms" in line for line in lines) == 1
    widths = [{line.count("|") for line in part.splitlines()} for part in table.split("\n\n") if "|" in part]
    assert all(len(counts) == 1 for counts in widths)


def test_what_does_not_run_is_a_row_with_the_error(files, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise RuntimeError("no dynamic\nshapes")

    monkeypatch.setattr(device_profiler, "compile_for_device", refuse)
    settings = ProfileSettings(sizes=((16, 16),), devices=("CPU",), streams=(1,), timing=QUICK)
    with profiled_model.open_graph(files["int8"]) as model:
        record = profile_model(model, settings, tmp_path, clock=make_clock())
    failed = [row for row in record["rows"] if "failed" in row]
    assert [row["mode"] for row in failed] == ["latency", "throughput"]
    assert {row["failed"] for row in failed} == {"no dynamic shapes"}
    assert "does not run" in (tmp_path / "speed.md").read_text()
    assert "does not run (no dynamic shapes)" in "\n".join(render.format_lines(record))


def test_a_file_of_a_fixed_size_is_measured_at_that_size(realtime_onnx, tmp_path):
    export_openvino(realtime_onnx, tmp_path, "fp32", size=(16, 22))
    settings = ProfileSettings(sizes=((32, 32), (64, 64)), devices=("CPU",), streams=(), timing=QUICK)
    with profiled_model.open_graph(tmp_path / "model.xml") as model:
        rows = profile_model(model, settings, tmp_path, clock=make_clock())["rows"]
    assert [(row["height"], row["width"], row["precision"], "failed" in row) for row in rows] == [
        (16, 22, "reference", False),
        (16, 22, "fp32", False),
    ]


def test_a_model_that_fails_while_it_is_timed_leaves_the_others(files, realtime_dir, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise RuntimeError("out of\nmemory")

    make_call, measure_type = device_profiler._make_call, peak._measure_type

    def broken(precision, request, lr_image):
        return make_call(
            precision, SimpleNamespace(infer=refuse) if precision == "fp16" else request, lr_image
        )

    monkeypatch.setattr(device_profiler, "_make_call", broken)
    monkeypatch.setattr(
        peak, "_measure_type", lambda *given: refuse() if given[2] == "int8" else measure_type(*given)
    )
    settings = ProfileSettings(sizes=((16, 16),), devices=("CPU",), streams=(), timing=QUICK)
    with profiled_model.open_network("net", realtime_dir, files) as model:
        record = profile_model(model, settings, tmp_path, clock=make_clock())
    failed = {row["precision"]: row.get("failed") for row in record["rows"]}
    assert failed == {"reference": None, "fp32": None, "fp16": "out of memory", "int8": None}
    assert record["devices"]["CPU"]["peak_errors"] == {"int8": "out of memory"}
    assert "Convolutions in int8 do not run: out of memory." in (tmp_path / "speed.md").read_text()


def test_auto_has_no_peak(files, tmp_path):
    settings = ProfileSettings(sizes=((16, 16),), devices=("AUTO",), streams=(1, -1), timing=QUICK)
    with profiled_model.open_graph(files["fp16"]) as model:
        record = profile_model(model, settings, tmp_path, clock=make_clock())
    assert [(row["precision"], row["mode"], row["streams"]) for row in record["rows"]] == [
        ("reference", "latency", 0),
        ("fp16", "latency", 0),
        ("fp16", "throughput", -1),
    ]
    assert {row["share_of_peak"] for row in record["rows"]} == {None}


def test_a_damaged_file_raises(tmp_path):
    (tmp_path / "net.xml").write_text("<net")
    with (
        pytest.raises(UserError, match=r"net\.xml"),
        profiled_model.open_graph(tmp_path / "net.xml"),
    ):
        pass


def test_a_missing_device_is_named(files, tmp_path):
    with (
        profiled_model.open_graph(files["fp16"]) as model,
        pytest.raises(UserError, match="no device 'NPU.7' here. Use CPU, AUTO"),
    ):
        profile_model(model, ProfileSettings(devices=("NPU.7",)), tmp_path)
