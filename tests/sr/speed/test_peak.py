"""A device's peak is measured with every convolution of the chain, and int8 really runs in int8."""

import itertools

import pytest

from sr.runtime.openvino_runtime import openvino
from sr.speed import peak
from sr.speed.timing import TimingSettings

QUICK = TimingSettings(budget_s=0.0, min_rounds=2, max_rounds=2, warm_up_rounds=1)


def test_the_peak_counts_every_convolution_of_the_chain(monkeypatch):
    monkeypatch.setattr(peak, "CHANNELS", {8: 16, 16: 8})
    ticks = itertools.count()
    core = openvino.Core()
    found, errors = peak.measure_peak(core, "CPU", QUICK, lambda: next(ticks) / 4)
    assert not errors
    assert {"f32", "int8"} <= set(found)
    # Eight convolutions of 8 channels on 16x16, two operations each, in a quarter of a second.
    expected = pytest.approx(2 * 8 * 8 * 8 * 9 * 16 * 16 / 0.25 / 1e12, rel=1e-3)
    assert found["f32"] == {"8": expected, "16": expected}


def test_quantized_convolutions_run_in_int8():
    compiled = openvino.Core().compile_model(peak._build_chain(16, 8, quantized=True), "CPU")
    kinds = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    convolutions = [one for one in kinds if one["layerType"].astype(str) == "Convolution"]
    assert len(convolutions) == peak.LAYERS
    assert {one["runtimePrecision"].astype(str) for one in convolutions} <= {"u8", "i8"}
