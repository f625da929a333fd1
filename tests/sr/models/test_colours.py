"""Colour spaces are undone to less than half a level, and are those that their standards describe."""

import pytest
import torch

from data.errors import UserError
from sr.models.colours import COLOUR_SPACES
from sr.models.network import UpsamplingNetwork
from sr.models.presets import COLOUR_SPACE_NAMES, ModelDescription, describe
from sr.models.registry import build_from

OTHERS = [name for name in COLOUR_SPACE_NAMES if name != "rgb"]
SMALL_VAPSR = {"scale": 2, "features": 8, "blocks": 1, "attention": 6, "projection": 1, "groups": 1}


def every_sort_of_colour() -> torch.Tensor:
    """A grid of 18 levels a channel with the extremes, every grey, and noise: uint8 [1,3,h,1]."""
    steps = torch.arange(0, 256, 15)
    grey = torch.arange(256)[:, None].expand(-1, 3)
    noise = torch.randint(0, 256, (20_000, 3), generator=torch.Generator().manual_seed(1))
    colours = torch.cat([torch.cartesian_prod(steps, steps, steps), grey, noise])
    return colours.to(torch.uint8).T.reshape(1, 3, -1, 1)


def test_the_table_has_every_name():
    assert tuple(COLOUR_SPACES) == COLOUR_SPACE_NAMES


@pytest.mark.parametrize("name", OTHERS)
def test_the_way_there_and_back_is_within_half_a_level(name):
    levels = every_sort_of_colour().float()
    there = COLOUR_SPACES[name].from_rgb(levels / 255)
    back = COLOUR_SPACES[name].to_rgb(there) * 255
    assert (back - levels).abs().max() < 0.05  # a tenth of what is promised
    assert there.min() >= -1e-5 and there.max() <= 1 + 1e-5
    assert (there - levels / 255).abs().max() > 0.1


@pytest.mark.parametrize(
    ("name", "rgb", "expected"),
    [
        # BT.601 and BT.709: luma of the primaries is its weight, their own difference is at its end.
        ("ycbcr-601", (0, 0, 255), (0.114, 1.0, 0.5 - 0.114 / 1.402)),
        ("ycbcr-709", (255, 0, 0), (0.2126, 0.5 - 0.2126 / 1.8556, 1.0)),
        # Ottosson's page: white is (1, 0, 0); sRGB red is (0.6280, 0.2249, 0.1258), as CSS Color 4 has it too.
        ("oklab", (255, 255, 255), (1.0, 0.5, 0.5)),
        ("oklab", (255, 0, 0), (0.62796, 0.72486, 0.62585)),
        ("oklab", (0, 0, 0), (0.0, 0.5, 0.5)),
    ],
)
def test_known_colours_have_their_published_values(name, rgb, expected):
    picture = torch.tensor(rgb).reshape(1, 3, 1, 1) / 255
    assert COLOUR_SPACES[name].from_rgb(picture).flatten().tolist() == pytest.approx(expected, abs=2e-5)


class Nearest(torch.nn.Module):
    """Repeats pixels: what comes out is what went in, through the colour space and back."""

    scale, size_multiple = 2, 1

    def forward(self, low):
        self.seen = low
        return low.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("name", OTHERS)
def test_a_network_works_in_its_space_and_gives_rgb(name, value_range):
    core = Nearest()
    network = UpsamplingNetwork(core, ModelDescription("test", {"scale": 2}, value_range, colour_space=name))
    low = every_sort_of_colour()
    assert torch.equal(network(low), low.repeat_interleave(2, 2).repeat_interleave(2, 3))
    unit = (core.seen - value_range[0]) / (value_range[1] - value_range[0])
    torch.testing.assert_close(unit, COLOUR_SPACES[name].from_rgb(low / 255.0), atol=1e-5, rtol=0)
    # A loss compares RGB with RGB.
    torch.testing.assert_close(network.predict(low)[..., ::2, ::2], network.normalise(low), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", OTHERS)
def test_gradients_stay_finite_on_black_white_and_beyond(name):
    torch.manual_seed(1)
    network = build_from(ModelDescription("vapsr", SMALL_VAPSR, (0.0, 1.0), colour_space=name))
    low = torch.zeros((1, 3, 6, 6), dtype=torch.uint8)
    low[..., 3:] = 255
    network.predict(low).square().mean().backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


def test_choices_stand_beside_a_preset():
    assert describe("vapsr-x2").colour_space == "rgb"
    assert describe("vapsr-x2", "oklab").colour_space == "oklab"
    assert [describe("realtime-x2", branches=choice).branches for choice in ("", "on", "off")] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("preset", "space", "branches", "message"),
    [
        ("vapsr-x2", "yuv", "", "a colour space .*oklab.*got 'yuv'"),
        ("realtime-x2", "oklab", "", "rgb for a realtime network.*got oklab"),
        ("realtime-rgb-x2", "ycbcr-601", "", "rgb for a realtime network"),
        ("vapsr-x2", "", "many", "on or off, got 'many'"),
    ],
)
def test_choices_that_make_no_sense_are_refused(preset, space, branches, message):
    with pytest.raises(UserError, match=message):
        describe(preset, space, branches)
