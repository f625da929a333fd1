"""A luma network changes only luma, and its interface for videos is the same network on video luma."""

import pytest
import torch

from data.errors import UserError
from sr.models.luma_interface import LumaInterface
from sr.models.presets import ModelDescription, find_preset
from sr.models.realtime import LUMA
from sr.models.registry import build_network

IN_256THS = (0.0, 255 / 256)


def luma_network(value_range=IN_256THS, scale=2):
    torch.manual_seed(5)
    configuration = {"scale": scale, "layers": 3, "channels": 8, "planes": 1}
    network = build_network(ModelDescription("realtime", configuration, value_range)).eval()
    for kind in (network.core.layers[-1].weight, network.core.layers[-1].bias):
        torch.nn.init.normal_(kind, std=0.05)
    return network.requires_grad_(False)


def noise(*shape: int) -> torch.Tensor:
    stream = torch.Generator().manual_seed(6)
    return torch.randint(60, 190, shape, dtype=torch.uint8, generator=stream)


@pytest.mark.parametrize("scale", [2, 3])
def test_the_same_residual_is_added_to_each_color(scale):
    network = luma_network(scale=scale)
    lr_image = noise(2, 3, 8, 12)
    values = network.normalize(lr_image)
    padded = torch.nn.functional.pad(values, (2, 2, 2, 2), mode="replicate")
    cells = torch.nn.functional.pixel_unshuffle(padded, 2)
    bicubic = torch.nn.functional.pixel_shuffle(network.core.upscaling(cells), 2 * scale)
    residual = network.predict(lr_image) - bicubic
    assert residual.abs().max() > 0.01
    assert (residual - residual[:, :1]).abs().max() < 1e-6


def test_the_residual_is_computed_from_luma_alone():
    network = luma_network()
    lr_image = noise(1, 3, 8, 12)
    luma = (torch.tensor(LUMA).reshape(3, 1, 1) * network.normalize(lr_image)).sum(1, keepdim=True)
    gray = network.core(luma.expand(-1, 3, -1, -1))
    shares = torch.tensor(LUMA).reshape(3, 1, 1)
    # Luma is linear: that of the upscaled colors is the upscaled luma.
    torch.testing.assert_close((shares * network.predict(lr_image)).sum(1), gray[:, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("value_range", [IN_256THS, (-1.0, 1.0)])
def test_videos_and_images_get_the_same_luma(value_range):
    network = luma_network(value_range)
    video = noise(2, 1, 8, 12)
    hr_image = LumaInterface(network)(video)
    assert (hr_image.dtype, hr_image.shape) == (torch.uint8, (2, 1, 16, 24))
    darkest, brightest = value_range
    full = (video.float() - 16) / 219 * (brightest - darkest) + darkest
    expected = network.core(full.expand(-1, 3, -1, -1))[:, :1]
    levels = (expected - darkest) / (brightest - darkest) * 219 + 16
    assert (levels - hr_image.float()).abs().max() <= 0.501
    bicubic = LumaInterface(build_network(find_preset("realtime-x2")))(video)
    assert (bicubic.int() - hr_image.int()).abs().max() > 5


def test_flat_levels_stay_unchanged_within_and_beyond_the_video_range():
    upscale = LumaInterface(build_network(find_preset("realtime-x2")))
    for level in (0, 1, 16, 235, 254, 255):
        assert (upscale(torch.full((1, 1, 6, 6), level, dtype=torch.uint8)) == level).all()


@pytest.mark.parametrize("preset", ["realtime-rgb-x2", "vapsr-x2"])
def test_other_networks_have_no_luma_interface(preset):
    with pytest.raises(UserError, match=f"luma alone.*{preset}"):
        LumaInterface(build_network(find_preset(preset)))
