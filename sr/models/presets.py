"""The table of model presets, and the description from which any of our networks can be built again.

Plain data: it never loads torch, so that a command line can be checked against it at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from data.errors import UserError

COLOR_SPACE_NAMES = ("rgb", "ycbcr-601", "ycbcr-709", "oklab")
"""What a network can work in; `sr.models.color_spaces` has the formulas."""


@dataclass(frozen=True)
class ModelDescription:
    """What a network is, apart from its weights; `model.json` carries these fields, but for `reparameterize`."""

    architecture: str
    """A key of `sr.models.registry.ARCHITECTURES`: "vapsr" or "realtime"."""

    configuration: Mapping[str, int]
    """Arguments of the architecture's class; always with `scale`."""

    value_range: tuple[float, float]
    """The floats that stand for levels 0 and 255 inside the network: (0, 1) or (-1, 1)."""

    preset: str = ""
    """The preset's name; empty where the network is none of them."""

    color_space: str = "rgb"
    """What its core works in, a name of COLOR_SPACE_NAMES; images are RGB on either side of it."""

    reparameterize: bool = False
    """Whether it learns with branches (`sr.models.reparameterization`); weights that leave training have none."""

    @property
    def scale(self) -> int:
        """Upsampling factor."""
        return self.configuration["scale"]


def _table(*rows: tuple[str, str, tuple[float, float], dict[str, int]]) -> Mapping[str, ModelDescription]:
    return MappingProxyType(
        {
            name: ModelDescription(
                architecture,
                MappingProxyType(configuration),
                value_range,
                name,
                reparameterize=architecture == "realtime",
            )
            for name, architecture, value_range, configuration in rows
        }
    )


def _vapsr(
    scale: int, features: int, blocks: int, attention: int, projection: int = 1, groups: int = 1
) -> dict[str, int]:
    return {
        "scale": scale,
        "features": features,
        "blocks": blocks,
        "attention": attention,
        "projection": projection,
        "groups": groups,
    }


def _realtime(scale: int, layers: int, channels: int, planes: int = 3) -> dict[str, int]:
    return {"scale": scale, "layers": layers, "channels": channels, "planes": planes}


IN_256THS = (0.0, 255 / 256)
"""A level is 1/256: bf16, with 8 significant bits, holds all of 0/256 to 255/256 exactly and hardly any of 0/255 to
255/255. Where the CPU computes in bf16 this decides whether the upscaled image itself is rounded: a smooth
photograph (retina, 50.9 dB) loses 0.003 dB instead of 0.2."""

PRESETS: Mapping[str, ModelDescription] = _table(
    ("vapsr-x2", "vapsr", (0.0, 1.0), _vapsr(2, features=48, blocks=20, attention=64)),
    ("vapsr-x3", "vapsr", (0.0, 1.0), _vapsr(3, features=48, blocks=20, attention=64)),
    ("vapsr-x4", "vapsr", (0.0, 1.0), _vapsr(4, features=48, blocks=21, attention=64)),
    ("vapsr-s-x4", "vapsr", (0.0, 1.0), _vapsr(4, features=32, blocks=11, attention=64, groups=2)),
    ("vapsr3x3-x2", "vapsr", (-1.0, 1.0), _vapsr(2, features=64, blocks=20, attention=48, projection=3)),
    ("realtime-x2", "realtime", IN_256THS, _realtime(2, layers=5, channels=32, planes=1)),
    ("realtime-x3", "realtime", IN_256THS, _realtime(3, layers=5, channels=32, planes=1)),
    ("realtime-x4", "realtime", IN_256THS, _realtime(4, layers=5, channels=32, planes=1)),
    ("realtime-s-x2", "realtime", IN_256THS, _realtime(2, layers=4, channels=32, planes=1)),
    ("realtime-l-x2", "realtime", IN_256THS, _realtime(2, layers=5, channels=48, planes=1)),
    ("realtime-rgb-x2", "realtime", IN_256THS, _realtime(2, layers=5, channels=48)),
    ("realtime-rgb-x3", "realtime", IN_256THS, _realtime(3, layers=5, channels=48)),
    ("realtime-rgb-x4", "realtime", IN_256THS, _realtime(4, layers=5, channels=48)),
)
"""Every preset by name.

Source of the VapSR rows: Zhou et al., "Efficient Image Super-Resolution Using Vast-Receptive-Field
Attention", 2022; the 3x3 row is the variant with 3x3 first projections that was trained on values of -1 to 1.
"""


def describe(preset: str, color_space: str = "", reparameterize: str = "") -> ModelDescription:
    """A preset with what was chosen beside it; the empty choice is the preset's own.

    Args:
        preset: a name of `PRESETS`.
        color_space: a name of `COLOR_SPACE_NAMES`.
        branches: "on" or "off".

    Raises:
        UserError: there is no such preset or choice, or the network has no use for it.
    """
    description = find_preset(preset)
    if reparameterize not in ("", "on", "off"):
        raise UserError("on or off", repr(reparameterize), "the branches parameter", "choose one of these")
    chosen = replace(
        description,
        color_space=color_space or description.color_space,
        reparameterize=description.reparameterize if not reparameterize else reparameterize == "on",
    )
    check_color_space(chosen)
    return chosen


def check_color_space(description: ModelDescription) -> None:
    """Refuse what makes no sense.

    Raises:
        UserError: there is no such color space, or the network is tied to RGB.
    """
    name, where = description.color_space, "the color space of the model"
    if name not in COLOR_SPACE_NAMES:
        raise UserError(
            f"a color space ({', '.join(COLOR_SPACE_NAMES)})", repr(name), where, "choose one of these"
        )
    if description.architecture == "realtime" and name != "rgb":
        # Its promise is the bicubic upscaling of RGB, exact in bf16, plus a residual. Ycbcr is a change of
        # axes that its first and last layers can learn, oklab would upscale another image.
        raise UserError(
            "rgb for a realtime network, whose residual is added to the upscaled RGB image",
            name,
            where,
            "choose rgb, or VapSR",
        )


def find_preset(name: str) -> ModelDescription:
    """The preset of this name.

    Raises:
        UserError: there is none.
    """
    if name not in PRESETS:
        raise UserError(
            f"a model preset ({', '.join(PRESETS)})",
            repr(name),
            "the model parameter",
            "choose one of these names",
        )
    return PRESETS[name]
