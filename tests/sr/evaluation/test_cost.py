"""Multiply-adds are those of the layers, in every format of a network."""

import pytest

from sr.evaluation.cost import count_gmacs, count_parameters
from sr.runtime.load import load_upscaler


def test_macs_equal_a_count_by_hand(vapsr_dir):
    # The small VapSR of conftest: 8 features, 2 blocks with 3x3 projections and 8 attention channels, x2.
    block = 8 * 8 * 9 + 8 * 8 + 8 * 25 + 8 * 25 + 8 * 8
    macs_per_px = 3 * 8 * 9 + 2 * block + 8 * 8 * 9 + 8 * 56 * 9 + 56 * 12 * 9
    upscaler = load_upscaler(vapsr_dir)
    assert count_gmacs(upscaler) == pytest.approx(macs_per_px * 640 * 360 / 1e9, abs=1e-4)
    # Every weight is used once per pixel; biases and norms come on top.
    biases = 8 + 2 * (8 + 8 + 8 + 8 + 8 + 16) + 8 + 56 + 12
    assert count_parameters(upscaler) == macs_per_px + biases


def test_all_formats_of_a_network_have_the_same_count(realtime_dir, realtime_onnx, realtime_irs):
    reference = count_gmacs(load_upscaler(realtime_dir))
    assert reference > 0
    for path in (realtime_onnx, *realtime_irs.values()):
        assert count_gmacs(load_upscaler(path)) == pytest.approx(reference, rel=1e-6), path


def test_a_filter_has_no_cost():
    assert count_gmacs(load_upscaler("bicubic")) is None
    assert count_parameters(load_upscaler("bicubic")) is None


def test_the_published_vapsr_has_its_published_size(shared):
    upscaler = load_upscaler(shared / "weights" / "vapsr3x3_x2.pth")
    assert count_parameters(upscaler) == 793_252
    assert count_gmacs(upscaler) / (720 * 1280) * 512 * 512 == pytest.approx(51.47, abs=0.01)
