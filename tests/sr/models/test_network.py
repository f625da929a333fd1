"""Bytes in, bytes out: value ranges convert exactly, and wrong input is refused in words."""

import pytest
import torch
from torch import nn

from sr.models.network import SuperResolutionNetwork
from sr.models.presets import ModelDescription, find_preset
from sr.models.registry import build_network


class Doubling(nn.Module):
    """Repeats pixels and adds a constant, in the network's own values."""

    scale = 2
    size_multiple = 1

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, lr_image: torch.Tensor) -> torch.Tensor:
        return lr_image.repeat_interleave(2, 2).repeat_interleave(2, 3) + self.offset


def wrapped(value_range: tuple[float, float], offset: float = 0.0) -> SuperResolutionNetwork:
    return SuperResolutionNetwork(Doubling(offset), ModelDescription("test", {"scale": 2}, value_range))


EVERY_LEVEL = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(1, 3, 1, 1)


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255 / 256)])
def test_every_level_survives_conversion_to_values_and_back(value_range):
    hr_image = wrapped(value_range)(EVERY_LEVEL)
    assert hr_image.dtype == torch.uint8
    assert torch.equal(hr_image, EVERY_LEVEL.repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255 / 256)])
def test_normalized_levels_span_the_value_range(value_range):
    values = wrapped(value_range).normalize(EVERY_LEVEL)
    assert values.dtype == torch.float32
    assert (values.min().item(), values.max().item()) == pytest.approx(value_range)


@pytest.mark.parametrize(("value_range", "levels_off"), [((0.0, 1.0), 0.6), ((-1.0, 1.0), -0.6)])
def test_levels_are_rounded_to_the_nearest_and_clamped(value_range, levels_off):
    span = value_range[1] - value_range[0]
    network = wrapped(value_range, offset=levels_off * span / 255)
    expected = (EVERY_LEVEL.int() + (1 if levels_off > 0 else -1)).clamp(0, 255).to(torch.uint8)
    assert torch.equal(network(EVERY_LEVEL)[..., ::2, ::2], expected)


def test_predictions_are_not_clamped():
    predicted = wrapped((0.0, 1.0), offset=0.5).predict(EVERY_LEVEL)
    assert predicted.dtype == torch.float32
    assert predicted.max().item() == pytest.approx(1.5)


@pytest.mark.parametrize("method", ["forward", "predict", "normalize"])
def test_floats_are_refused(method):
    with pytest.raises(TypeError, match=r"must be uint8 .*, not torch\.float32"):
        getattr(wrapped((0.0, 1.0)), method)(EVERY_LEVEL.float())


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 4, 4, 3), (1, 1, 4, 4), (1, 3, 0, 4)])
def test_other_layouts_are_refused(shape):
    with pytest.raises(ValueError, match="must"):
        wrapped((0.0, 1.0))(torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.parametrize(("height", "width"), [(3, 4), (4, 3)])
def test_sizes_that_are_not_multiples_are_refused(height, width):
    with pytest.raises(ValueError, match=f"multiples of 2, not {height}x{width}"):
        build_network(find_preset("realtime-x2"))(torch.zeros((1, 3, height, width), dtype=torch.uint8))


def test_the_realtime_range_holds_every_level_exactly_in_bf16():
    levels = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)
    values = build_network(find_preset("realtime-x2")).normalize(levels)
    assert torch.equal(values.bfloat16().float(), values)
    assert torch.equal(values, levels.float() / 256)
