"""Color spaces are undone to less than half a level, and are those that their standards describe."""

import pytest
import torch

from data.errors import UserError
from sr.models.color_spaces import COLOR_SPACES
from sr.models.network import SuperResolutionNetwork
from sr.models.presets import COLOR_SPACE_NAMES, ModelDescription, describe
from sr.models.registry import build_network

OTHERS = [name for name in COLOR_SPACE_NAMES if name != "rgb"]
SMALL_VAPSR = {"scale": 2, "features": 8, "blocks": 1, "attention": 6, "projection": 1, "groups": 1}


def every_sort_of_color() -> torch.Tensor:
    """A grid of 18 levels a channel with the extremes, every gray, and noise: uint8 [1,3,h,1]."""
    steps = torch.arange(0, 256, 15)
    gray = torch.arange(256)[:, None].expand(-1, 3)
    noise = torch.randint(0, 256, (20_000, 3), generator=torch.Generator().manual_seed(1))
    colors = torch.cat([torch.cartesian_prod(steps, steps, steps), gray, noise])
    return colors.to(torch.uint8).T.reshape(1, 3, -1, 1)


def test_the_table_has_every_name():
    assert tuple(COLOR_SPACES) == COLOR_SPACE_NAMES


@pytest.mark.parametrize("name", OTHERS)
def test_a_round_trip_is_within_half_a_level(name):
    levels = every_sort_of_color().float()
    there = COLOR_SPACES[name].from_rgb(levels / 255)
    back = COLOR_SPACES[name].to_rgb(there) * 255
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
def test_known_colors_have_their_published_values(name, rgb, expected):
    image = torch.tensor(rgb).reshape(1, 3, 1, 1) / 255
    assert COLOR_SPACES[name].from_rgb(image).flatten().tolist() == pytest.approx(expected, abs=2e-5)


class Nearest(torch.nn.Module):
    """Repeats pixels: what comes out is what went in, through the color space and back."""

    scale, size_multiple = 2, 1

    def forward(self, lr_image):
        self.seen = lr_image
        return lr_image.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("name", OTHERS)
def test_a_network_works_in_its_color_space_and_returns_rgb(name, value_range):
    core = Nearest()
    network = SuperResolutionNetwork(
        core, ModelDescription("test", {"scale": 2}, value_range, color_space=name)
    )
    lr_image = every_sort_of_color()
    assert torch.equal(network(lr_image), lr_image.repeat_interleave(2, 2).repeat_interleave(2, 3))
    unit = (core.seen - value_range[0]) / (value_range[1] - value_range[0])
    torch.testing.assert_close(unit, COLOR_SPACES[name].from_rgb(lr_image / 255.0), atol=1e-5, rtol=0)
    # A loss compares RGB with RGB.
    torch.testing.assert_close(
        network.predict(lr_image)[..., ::2, ::2], network.normalize(lr_image), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("name", OTHERS)
def test_gradients_stay_finite_on_black_white_and_beyond(name):
    torch.manual_seed(1)
    network = build_network(ModelDescription("vapsr", SMALL_VAPSR, (0.0, 1.0), color_space=name))
    lr_image = torch.zeros((1, 3, 6, 6), dtype=torch.uint8)
    lr_image[..., 3:] = 255
    network.predict(lr_image).square().mean().backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


def test_options_are_applied_to_a_preset():
    assert describe("vapsr-x2").color_space == "rgb"
    assert describe("vapsr-x2", "oklab").color_space == "oklab"
    assert [
        describe("realtime-x2", reparameterize=choice).reparameterize for choice in ("", "on", "off")
    ] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("preset", "space", "reparameterize", "message"),
    [
        ("vapsr-x2", "yuv", "", "color space of 'yuv'.*oklab"),
        ("realtime-x2", "oklab", "", "realtime network cannot work in oklab"),
        ("realtime-rgb-x2", "ycbcr-601", "", "realtime network cannot work in ycbcr-601"),
        ("vapsr-x2", "", "many", "on or off, not 'many'"),
    ],
)
def test_invalid_options_are_refused(preset, space, reparameterize, message):
    with pytest.raises(UserError, match=message):
        describe(preset, space, reparameterize)
