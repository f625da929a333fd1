"""The table of model presets, and the description from which a network can be built.

Plain data: it does not load torch, so that a command line can be checked against it at once.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from data.errors import UserError

COLOR_SPACE_NAMES = ("rgb", "ycbcr-601", "ycbcr-709", "oklab")
"""The color spaces that a network can work in; `sr.models.color_spaces` has the formulas."""
ARCHITECTURE_NAMES = ("vapsr", "realtime")
"""The architectures of this project; `sr.models.registry` builds them."""


@dataclass(frozen=True)
class ModelDescription:
    """A network apart from its weights. `model.json` contains these fields, except `reparameterize`."""

    architecture: str
    """A name in ARCHITECTURE_NAMES, or "spandrel": the preset is then spandrel's name of the network."""

    configuration: Mapping[str, int]
    """Arguments of the architecture's class; always with `scale`."""

    value_range: tuple[float, float]
    """The floats that represent levels 0 and 255 inside the network, such as (0, 1) or (-1, 1)."""

    preset: str = ""
    """The preset's name; empty if the network matches none."""

    color_space: str = "rgb"
    """The color space inside, a name in COLOR_SPACE_NAMES; input and output are RGB."""

    reparameterize: bool = False
    """Whether it is trained with branches (`sr.models.reparameterization`); exported weights have none."""

    @property
    def scale(self) -> int:
        """The upscaling factor."""
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
"""The value range in which a level is 1/256. bf16, with 8 significant bits, represents 0/256 to 255/256 exactly, but
hardly any of 0/255 to 255/255. On a CPU that computes in bf16, this decides whether the bicubic image is rounded: a
smooth photograph (retina, 50.9 dB) loses 0.003 dB instead of 0.2."""

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
    """Return a preset with options applied; an empty option keeps the preset's own.

    Args:
        preset: a name in `PRESETS`.
        color_space: a name in `COLOR_SPACE_NAMES`.
        reparameterize: "on" or "off".

    Raises:
        UserError: the preset or an option does not exist, or the network cannot have the option.
    """
    description = find_preset(preset)
    if reparameterize not in ("", "on", "off"):
        raise UserError(f"The model's reparameterize must be on or off, not {reparameterize!r}")
    chosen = replace(
        description,
        color_space=color_space or description.color_space,
        reparameterize=description.reparameterize if not reparameterize else reparameterize == "on",
    )
    check_color_space(chosen)
    return chosen


def check_color_space(description: ModelDescription) -> None:
    """Check that the network can work in its color space.

    Raises:
        UserError: the color space does not exist, or the network supports only RGB.
    """
    name = description.color_space
    if name not in COLOR_SPACE_NAMES:
        message = f"The model has a color space of {name!r}, which does not exist"
        raise UserError(message, f"Choose one of {', '.join(COLOR_SPACE_NAMES)}")
    if description.architecture == "realtime" and name != "rgb":
        # It promises the bicubic upscaling of RGB, exact in bf16, plus a residual. YCbCr is a change of axes
        # that its first and last layers can learn; Oklab would upscale another image.
        message = (
            f"A realtime network cannot work in {name}, since its residual is added to the upscaled RGB image"
        )
        raise UserError(message, "Choose rgb, or a VapSR preset")


def find_preset(name: str) -> ModelDescription:
    """Return the preset of this name, or the realtime network that it spells, such as realtime-4x24-x2.

    Raises:
        UserError: it is neither.

    Example:
        >>> dict(find_preset("realtime-4x24-x2").configuration)
        {'scale': 2, 'layers': 4, 'channels': 24, 'planes': 1}
    """
    if name in PRESETS:
        return PRESETS[name]
    if spelled := _read_spelling(name):
        return spelled
    hint = (
        f"Choose one of {', '.join(PRESETS)}, or spell a realtime network by its layers and channels, such as "
        "realtime-4x24-x2 (docs/explanation/networks.md)"
    )
    raise UserError(f"There is no model preset {name!r}", hint)


_SPELLING = re.compile(r"realtime(-rgb)?-(\d{1,2})x(\d{1,3})(-u4)?(-prelu)?-x([2-8])")
MIN_LAYERS, MAX_LAYERS, MAX_CHANNELS = 2, 32, 512
"""Bounds of a realtime network that is spelled."""


def spell_realtime(configuration: Mapping[str, int]) -> str:
    """Return the name that spells a realtime network: its preset's, if it is one.

    Args:
        configuration: arguments of `sr.models.realtime.Realtime`, all within the bounds.
    """
    listed = (name for name, one in PRESETS.items() if dict(one.configuration) == dict(configuration))
    if name := next(listed, ""):
        return name
    colors = "-rgb" if configuration["planes"] == 3 else ""
    cells = "-u4" if configuration.get("unshuffle", 2) == 4 else ""
    prelu = "-prelu" if configuration.get("prelu") else ""
    shape = f"{configuration['layers']}x{configuration['channels']}"
    return f"realtime{colors}-{shape}{cells}{prelu}-x{configuration['scale']}"


def _read_spelling(name: str) -> ModelDescription | None:
    """Return the realtime network that a name spells; None if it spells none."""
    if not (match := _SPELLING.fullmatch(name)):
        return None
    rgb, layers, channels, cells, prelu, scale = match.groups()
    configuration = _realtime(int(scale), int(layers), int(channels), 3 if rgb else 1)
    configuration |= ({"unshuffle": 4} if cells else {}) | ({"prelu": 1} if prelu else {})
    in_bounds = MIN_LAYERS <= int(layers) <= MAX_LAYERS and 1 <= int(channels) <= MAX_CHANNELS
    canonical = spell_realtime(configuration)
    if canonical in PRESETS:
        return PRESETS[canonical]
    frozen = MappingProxyType(configuration)
    described = ModelDescription("realtime", frozen, IN_256THS, canonical, reparameterize=True)
    return described if in_bounds else None
