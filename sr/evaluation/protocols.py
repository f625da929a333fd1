"""Evaluation protocols by name: what each means in every detail, and which published figures it reproduces.

Two figures are comparable only under one protocol, so every report names its own. This module holds plain data and
measures nothing.
"""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from data.catalog.published_figures import strip_scale_suffix
from data.errors import UserError
from sr.evaluation.degradation import DEGRADATIONS

PROVIDED = "provided"
"""The degradation of a benchmark dataset that provides its own LR images."""
CHANNELS = ("rgb", "y")
ROUNDINGS = ("output", "luma", "classic")
FILTERS = ("pillow", "matlab")
MAX_SCALE = 8


@dataclasses.dataclass(frozen=True)
class EvaluationProtocol:
    """How an upscaled image is compared with its original. Figures are comparable only if their protocols are equal."""

    scale: int
    """2 to MAX_SCALE."""
    channel: str
    """What is measured: "rgb" (the error over all three channels), or "y" (luma of BT.601, 16 to 235)."""
    border_px: int
    """Cropped from each side before measuring."""
    degradation: str
    """How LR images are made: a name of DEGRADATIONS, or "provided" where the benchmark dataset must provide them."""
    data_range: int = 255
    """The largest possible difference between two levels."""
    name: str = ""
    """The named protocol that has exactly these settings; empty for any others."""
    use_provided_lr: bool = True
    """Whether LR images that the benchmark dataset provides are used; otherwise they are made by `degradation`."""
    rounding: str = "output"
    """What is rounded to whole levels: "output" (the upscaled image, but not its luma), "luma" (both), or "classic"
    (luma first, which is then downscaled without rounding, and upscaled alone)."""
    modcrop: int = 1
    """HR images are cropped at the bottom and right to a multiple of this and of the scale, in pixels."""
    filters: str = "pillow"
    """Whose bicubic and Lanczos the model is compared with: "pillow" or "matlab"."""


@dataclasses.dataclass(frozen=True)
class NamedProtocol:
    """The settings that a protocol's name stands for; the fields are those of EvaluationProtocol."""

    description: str
    """One line for people."""
    channel: str = "y"
    degradation: str = "matlab-bicubic"
    use_provided_lr: bool = False
    rounding: str = "output"
    filters: str = "matlab"
    modcrop: int = 1
    modcrop_by_benchmark: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """The modcrop of benchmark datasets that differ, by name."""


PROTOCOLS: Mapping[str, NamedProtocol] = MappingProxyType(
    {
        "pillow": NamedProtocol(
            "For everyday use: the dataset's own LR images where it has any, else Pillow's bicubic; Pillow's filters",
            degradation="pillow-bicubic",
            use_provided_lr=True,
            filters="pillow",
        ),
        "classic": NamedProtocol(
            "The published bicubic rows: 8-bit luma alone, downscaled without rounding and upscaled by imresize",
            rounding="classic",
        ),
        "rgb-network": NamedProtocol(
            "RGB networks on the LR files that SelfExSR provides (made the same way where a dataset has none)",
            degradation="selfexsr-bicubic",
            use_provided_lr=True,
        ),
        "protocol-a": NamedProtocol(
            "The tables of most papers since EDSR: LR images by imresize in double precision, rounded once",
            modcrop=4,
            modcrop_by_benchmark={"Set5": 12},
        ),
    }
)
"""Every protocol by name. docs/explanation/evaluation.md lists the figures that each was checked against."""


def build_protocol(
    name: str,
    scale: int,
    benchmark: str = "",
    *,
    channel: str = "",
    degradation: str = "",
    border_px: int = -1,
    rounding: str = "",
    modcrop: int = 0,
) -> EvaluationProtocol:
    """Build a protocol from its name, with some of its settings replaced.

    Args:
        name: of PROTOCOLS.
        scale: 2 to MAX_SCALE.
        benchmark: the benchmark dataset's name; some protocols have another modcrop for some datasets.
        channel, degradation, rounding: replace the named protocol's unless empty. A degradation that is given here
            is used even where the benchmark dataset provides LR images.
        border_px: cropped before measuring; negative: as many pixels as the scale.
        modcrop: replaces the named protocol's unless 0.

    Returns:
        The protocol; it keeps the name only if every setting is the named one's.

    Raises:
        UserError: an unknown name, a number out of range, or settings that exclude each other.
    """
    if name not in PROTOCOLS:
        raise UserError(f"Unknown protocol {name!r}", f"Use one of {', '.join(PROTOCOLS)} for --protocol")
    named = _expand(name, scale, benchmark)
    given = {"channel": channel, "rounding": rounding, "modcrop": modcrop}
    changes: dict[str, Any] = {setting: value for setting, value in given.items() if value}
    if border_px >= 0:
        changes["border_px"] = border_px
    if degradation:
        changes |= {"degradation": degradation, "use_provided_lr": degradation == PROVIDED}
    protocol = dataclasses.replace(named, **changes)
    if protocol != named:
        protocol = dataclasses.replace(protocol, name="")
    check_protocol(protocol)
    return protocol


def _expand(name: str, scale: int, benchmark: str) -> EvaluationProtocol:
    """Return all settings of a named protocol for a scale and a benchmark dataset."""
    named = PROTOCOLS[name]
    return EvaluationProtocol(
        scale=scale,
        channel=named.channel,
        border_px=scale,
        degradation=named.degradation,
        name=name,
        use_provided_lr=named.use_provided_lr,
        rounding=named.rounding,
        modcrop=named.modcrop_by_benchmark.get(strip_scale_suffix(benchmark), named.modcrop),
        filters=named.filters,
    )


def check_protocol(protocol: EvaluationProtocol) -> None:
    """Refuse a protocol that cannot be followed.

    Raises:
        UserError: a value is unknown or out of range, or settings exclude each other.
    """
    for setting, value, known in (
        ("channel", protocol.channel, CHANNELS),
        ("degradation", protocol.degradation, (*DEGRADATIONS, PROVIDED)),
        ("rounding", protocol.rounding, ROUNDINGS),
        ("filters", protocol.filters, FILTERS),
    ):
        if value not in known:
            raise UserError(
                f"The evaluation protocol has an unknown {setting}, {value!r}",
                f"Use one of {', '.join(known)}",
            )
    if not 2 <= protocol.scale <= MAX_SCALE:
        raise UserError(f"The scale must be from 2 to {MAX_SCALE}, not {protocol.scale}")
    if protocol.modcrop < 1:
        raise UserError(f"modcrop must be at least 1 px, not {protocol.modcrop}")
    if protocol.rounding != "output" and protocol.channel != "y":
        raise UserError(
            f"The rounding {protocol.rounding!r} needs the channel y, not {protocol.channel!r}",
            "Change one of the two",
        )
    if protocol.rounding == "classic" and (
        protocol.degradation != "matlab-bicubic" or protocol.use_provided_lr or protocol.filters != "matlab"
    ):
        raise UserError(
            "The rounding 'classic' downscales unrounded luma by matlab-bicubic, and cannot be combined with "
            f"{protocol.degradation} and {protocol.filters} filters",
            "Use the protocol classic as it is, or another rounding",
        )


def describe_settings(protocol: EvaluationProtocol, lr_provided: bool) -> str:
    """Return the name that a report gives a protocol: two protocols of one name are equal.

    Args:
        protocol: any.
        lr_provided: whether the benchmark dataset provided the LR images.

    Returns:
        The name and scale of a named protocol (classic-x2). For "pillow" and for any other its settings:
        y-x2-border2-pillow-bicubic, or y-x2-border2-provided.
    """
    if protocol.name and protocol.name != "pillow":
        return f"{protocol.name}-x{protocol.scale}"
    degradation = PROVIDED if lr_provided else protocol.degradation
    parts = [protocol.channel, f"x{protocol.scale}", f"border{protocol.border_px}", degradation]
    if protocol.rounding != "output":
        parts.append(f"rounding-{protocol.rounding}")
    if protocol.modcrop > 1:
        parts.append(f"modcrop{protocol.modcrop}")
    if protocol.filters != "pillow":
        parts.append(f"{protocol.filters}-filters")
    return "-".join(parts)


def crop_multiple(protocol: EvaluationProtocol) -> int:
    """Return the multiple that both sides of HR images are cropped to, in pixels."""
    return math.lcm(protocol.modcrop, protocol.scale)
