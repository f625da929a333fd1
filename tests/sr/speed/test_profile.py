"""A benchmark of a small network: every row is there and adds up, whatever the machine's speed."""

import itertools
import json
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from data.errors import UserError
from sr.export.to_openvino import export_openvino
from sr.runtime.openvino_runtime import openvino
from sr.speed import peak, profile, render, subjects
from sr.speed.profile import BenchmarkSettings, benchmark_model
from sr.speed.timing import Limits

QUICK = Limits(budget_s=0.0, least_rounds=2, most_rounds=2, warm_up_rounds=1)


def tick():
    """Make a clock on which everything that is timed takes a quarter of a second."""
    ticks = itertools.count()
    return lambda: next(ticks) / 4


@pytest.fixture(scope="module", autouse=True)
def small_peak():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peak, "CHANNELS", {8: 16, 16: 8})
        yield


@pytest.fixture(scope="module")
def forms(realtime_irs):
    return {name: path / "model.xml" for name, path in realtime_irs.items()}


@pytest.fixture(scope="module")
def measured(realtime_dir, forms, tmp_path_factory):
    """Give the record of a whole benchmark, and its directory."""
    out_dir = tmp_path_factory.mktemp("benchmark")
    settings = BenchmarkSettings(sizes=((15, 22), (32, 32)), devices=("CPU",), streams=(1, -1), limits=QUICK)
    with subjects.network("net <x2>", realtime_dir, forms) as subject:
        return benchmark_model(subject, settings, out_dir, "this run", clock=tick()), out_dir


def test_every_form_has_its_rows_and_they_add_up(measured):
    record, directory = measured
    assert record == json.loads((directory / "benchmark.json").read_text())
    assert record["run"] == "this run"
    cells = [(row["width"], row["form"], row["mode"], row["streams"]) for row in record["rows"]]
    assert len(cells) == len(set(cells)) == 2 * (4 + 3 + 3)
    # An odd side is raised to what the network takes.
    assert {(row["height"], row["width"]) for row in record["rows"]} == {(16, 22), (32, 32)}
    limits = record["devices"]["CPU"]["peak_tops"]
    gmac_px = record["model"]["gmac_720p"] * 4 / (720 * 1280)
    for row in record["rows"]:
        if row["mode"] == "latency":
            assert (row["median_ms"], row["frames_per_s"], row["times_reference"]) == (250.0, 4.0, 1.0)
        tops = 2 * gmac_px * row["height"] * row["width"] * row["frames_per_s"] / 1000
        assert row["tops"] == pytest.approx(tops, abs=1e-4)
        limit = limits["int8" if row["form"] == "int8" else row["computes_in"]]
        assert row["share_of_peak"] == pytest.approx(tops / max(limit.values()), rel=0.01, abs=1e-4)
    assert {row["computes_in"] for row in record["rows"] if row["form"] == "fp32"} == {"f32"}
    assert [row["form"] for row in record["starts"]] == ["fp32", "fp16", "int8"]


def test_what_is_shown_holds_every_form_and_is_well_formed(measured):
    record, directory = measured
    drawing = ElementTree.parse(directory / "benchmark.svg").getroot()
    texts = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"reference", "fp32", "fp16", "int8", "CPU 32x32"} <= set(texts)
    assert any("net <x2>" in text for text in texts)
    table = (directory / "benchmark.md").read_text()
    told = render.lines(record)
    for form in ("reference", "fp32", "fp16", "int8"):
        assert f"| 32x32 | {form} |" in table
        assert sum(f"32x32 {form}: 250 ms" in line for line in told) == 1
    widths = [{line.count("|") for line in part.splitlines()} for part in table.split("\n\n") if "|" in part]
    assert all(len(counts) == 1 for counts in widths)


def test_a_form_that_does_not_run_is_a_row_that_says_so(forms, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise RuntimeError("no dynamic\nshapes")

    monkeypatch.setattr(profile, "compile_for", refuse)
    settings = BenchmarkSettings(sizes=((16, 16),), devices=("CPU",), streams=(1,), limits=QUICK)
    with subjects.graph(forms["int8"]) as subject:
        record = benchmark_model(subject, settings, tmp_path, clock=tick())
    failed = [row for row in record["rows"] if "failed" in row]
    assert [row["mode"] for row in failed] == ["latency", "throughput"]
    assert {row["failed"] for row in failed} == {"no dynamic shapes"}
    assert "does not run" in (tmp_path / "benchmark.md").read_text()
    assert "does not run (no dynamic shapes)" in "\n".join(render.lines(record))


def test_a_file_of_one_size_is_measured_at_it(realtime_onnx, tmp_path):
    export_openvino(realtime_onnx, tmp_path, "fp32", size=(16, 22))
    settings = BenchmarkSettings(sizes=((32, 32), (64, 64)), devices=("CPU",), streams=(), limits=QUICK)
    with subjects.graph(tmp_path / "model.xml") as subject:
        rows = benchmark_model(subject, settings, tmp_path, clock=tick())["rows"]
    assert [(row["height"], row["width"], row["form"], "failed" in row) for row in rows] == [
        (16, 22, "reference", False),
        (16, 22, "fp32", False),
    ]


def test_what_a_device_refuses_while_it_is_timed_leaves_the_rest(forms, realtime_dir, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise RuntimeError("out of\nmemory")

    again, rates = profile._infer_again, peak._rates

    def broken(form, request, lr_image):
        return again(form, SimpleNamespace(infer=refuse) if form == "fp16" else request, lr_image)

    monkeypatch.setattr(profile, "_infer_again", broken)
    monkeypatch.setattr(peak, "_rates", lambda *given: refuse() if given[2] == "int8" else rates(*given))
    settings = BenchmarkSettings(sizes=((16, 16),), devices=("CPU",), streams=(), limits=QUICK)
    with subjects.network("net", realtime_dir, forms) as subject:
        record = benchmark_model(subject, settings, tmp_path, clock=tick())
    failed = {row["form"]: row.get("failed") for row in record["rows"]}
    assert failed == {"reference": None, "fp32": None, "fp16": "out of memory", "int8": None}
    assert record["devices"]["CPU"]["peak_failed"] == {"int8": "out of memory"}
    assert "Convolutions in int8 do not run: out of memory." in (tmp_path / "benchmark.md").read_text()


def test_auto_is_measured_without_a_limit(forms, tmp_path):
    settings = BenchmarkSettings(sizes=((16, 16),), devices=("AUTO",), streams=(1, -1), limits=QUICK)
    with subjects.graph(forms["fp16"]) as subject:
        record = benchmark_model(subject, settings, tmp_path, clock=tick())
    assert [(row["form"], row["mode"], row["streams"]) for row in record["rows"]] == [
        ("reference", "latency", 0),
        ("fp16", "latency", 0),
        ("fp16", "throughput", -1),
    ]
    assert {row["share_of_peak"] for row in record["rows"]} == {None}


def test_a_damaged_graph_is_refused_in_words(tmp_path):
    (tmp_path / "net.xml").write_text("<net")
    with (
        pytest.raises(UserError, match="a model file that can be read"),
        subjects.graph(tmp_path / "net.xml"),
    ):
        pass


def test_a_device_that_is_not_there_is_named(forms, tmp_path):
    with subjects.graph(forms["fp16"]) as subject, pytest.raises(UserError, match="CPU, AUTO, got 'NPU.7'"):
        benchmark_model(subject, BenchmarkSettings(devices=("NPU.7",)), tmp_path)


def test_the_peak_is_of_whole_chains():
    core = openvino.Core()
    found, refused = peak.measure_peak(core, "CPU", QUICK, tick())
    assert not refused
    assert {"f32", "int8"} <= set(found)
    # Eight convolutions of 8 channels on 16x16, two operations each, in a quarter of a second.
    wanted = pytest.approx(2 * 8 * 8 * 8 * 9 * 16 * 16 / 0.25 / 1e12, rel=1e-3)
    assert found["f32"] == {"8": wanted, "16": wanted}


def test_eight_bits_are_eight_bits_on_the_device():
    compiled = openvino.Core().compile_model(peak._chain(16, 8, eight_bits=True), "CPU")
    kinds = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    convolutions = [one for one in kinds if one["layerType"].astype(str) == "Convolution"]
    assert len(convolutions) == peak.LAYERS
    assert {one["runtimePrecision"].astype(str) for one in convolutions} <= {"u8", "i8"}
