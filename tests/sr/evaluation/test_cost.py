"""Multiply-adds are those of the layers, in every form of a network."""

import pytest

from sr.evaluation.cost import gmacs, parameters
from sr.runtime.upscalers import load_upscaler


def test_macs_are_counted_by_hand(vapsr_dir):
    # Of the small VapSR of conftest: 8 features, 2 blocks with 3x3 projections and 8 attention channels, x2.
    block = 8 * 8 * 9 + 8 * 8 + 8 * 25 + 8 * 25 + 8 * 8
    lr_image = 3 * 8 * 9 + 2 * block + 8 * 8 * 9 + 8 * 56 * 9 + 56 * 12 * 9
    upscaler = load_upscaler(vapsr_dir)
    assert gmacs(upscaler) == pytest.approx(lr_image * 640 * 360 / 1e9, abs=1e-4)
    # Every weight is used once a pixel; biases and norms come on top.
    biases = 8 + 2 * (8 + 8 + 8 + 8 + 8 + 16) + 8 + 56 + 12
    assert parameters(upscaler) == lr_image + biases


def test_all_forms_of_a_network_count_alike(realtime_dir, realtime_onnx, realtime_irs):
    reference = gmacs(load_upscaler(realtime_dir))
    assert reference > 0
    for path in (realtime_onnx, *realtime_irs.values()):
        assert gmacs(load_upscaler(path)) == pytest.approx(reference, rel=1e-6), path


def test_a_formula_multiplies_nothing_that_counts():
    assert gmacs(load_upscaler("bicubic")) is None
    assert parameters(load_upscaler("bicubic")) is None


def test_the_forebears_network_has_the_size_that_is_known(shared):
    upscaler = load_upscaler(shared / "weights" / "vapsr3x3_x2.pth")
    assert parameters(upscaler) == 793_252
    assert gmacs(upscaler) / (720 * 1280) * 512 * 512 == pytest.approx(51.47, abs=0.01)
