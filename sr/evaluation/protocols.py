"""Protocols by name: what each means in every detail, and which published figures it gives.

Two figures compare only under one protocol, so every report names its own. Plain data; nothing is measured here.
"""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType

from data.catalog.published_figures import plain_benchmark
from data.errors import UserError
from data.records import EvalProtocol
from sr.evaluation.degradation import DEGRADATIONS

SUPPLIED = "supplied"
"""The degradation of a benchmark that brings its own LR images."""
CHANNELS = ("rgb", "y")
ROUNDINGS = ("output", "luma", "classic")
FILTERS = ("pillow", "matlab")
LARGEST_SCALE = 8


@dataclasses.dataclass(frozen=True)
class NamedProtocol:
    """The terms that a name stands for; the fields are those of EvalProtocol."""

    meaning: str
    """For a person: what it gives, in one line."""
    channel: str = "y"
    degradation: str = "matlab-bicubic"
    use_supplied: bool = False
    rounding: str = "output"
    filters: str = "matlab"
    modcrop: int = 1
    cuts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """modcrop of benchmarks that are cut otherwise, by name."""


PROTOCOLS: Mapping[str, NamedProtocol] = MappingProxyType(
    {
        "pillow": NamedProtocol(
            "Everyday: the benchmark's own LR images where it has any, else Pillow's bicubic; Pillow's filters",
            degradation="pillow-bicubic",
            use_supplied=True,
            filters="pillow",
        ),
        "classic": NamedProtocol(
            "The published bicubic rows: 8-bit luma alone, reduced without rounding and upscaled by imresize",
            rounding="classic",
        ),
        "rgb-network": NamedProtocol(
            "Networks of RGB on the low files that SelfExSR supplies (made like them where a benchmark has none)",
            degradation="selfexsr-bicubic",
            use_supplied=True,
        ),
        "protocol-a": NamedProtocol(
            "The tables of most papers since EDSR: LR images by imresize in double precision, rounded once",
            modcrop=4,
            cuts={"Set5": 12},
        ),
    }
)
"""Every protocol by name. docs/evaluation.md has the figures that each was checked against."""


def build(
    name: str,
    scale: int,
    benchmark: str = "",
    *,
    channel: str = "",
    degradation: str = "",
    border_px: int = -1,
    rounding: str = "",
    modcrop: int = 0,
) -> EvalProtocol:
    """The protocol of this name, with some of its terms replaced.

    Args:
        name: of PROTOCOLS.
        scale: 2 to 8.
        benchmark: its name, by which some protocols cut the images.
        channel, degradation, rounding: replaces the protocol's own unless empty; a recipe that is named here
            is used even where the benchmark brings LR images.
        border_px: cropped before measuring; negative: as many pixels as the scale.
        modcrop: replaces the protocol's own unless 0.

    Returns:
        The protocol; it keeps the name only if every term is the named one's.

    Raises:
        UserError: a name or a number that there is none of, or terms that exclude each other.
    """
    if name not in PROTOCOLS:
        raise UserError(
            f"one of the protocols {', '.join(PROTOCOLS)}", repr(name), "--protocol", "choose one"
        )
    named = PROTOCOLS[name]
    own = EvalProtocol(
        scale=scale,
        channel=named.channel,
        border_px=scale,
        degradation=named.degradation,
        name=name,
        use_supplied=named.use_supplied,
        rounding=named.rounding,
        modcrop=named.cuts.get(plain_benchmark(benchmark), named.modcrop),
        filters=named.filters,
    )
    changes = {"channel": channel} if channel else {}
    changes |= {"border_px": border_px} if border_px >= 0 else {}
    changes |= {"rounding": rounding} if rounding else {}
    changes |= {"modcrop": modcrop} if modcrop else {}
    changes |= {"degradation": degradation, "use_supplied": degradation == SUPPLIED} if degradation else {}
    changed = dataclasses.replace(own, **changes)
    if changed != own:
        changed = dataclasses.replace(changed, name="")
    check(changed)
    return changed


def check(protocol: EvalProtocol) -> None:
    """Refuse a protocol that cannot be kept to.

    Raises:
        UserError: see `build`.
    """
    for what, value, known in (
        ("channel", protocol.channel, CHANNELS),
        ("degradation", protocol.degradation, (*DEGRADATIONS, SUPPLIED)),
        ("rounding", protocol.rounding, ROUNDINGS),
        ("filters", protocol.filters, FILTERS),
    ):
        if value not in known:
            _refuse(f"one of {', '.join(known)} for the {what}", repr(value))
    if not 2 <= protocol.scale <= LARGEST_SCALE:
        _refuse(f"a scale from 2 to {LARGEST_SCALE}", str(protocol.scale))
    if protocol.modcrop < 1:
        _refuse("a cut to a multiple of 1 px or more", str(protocol.modcrop))
    if protocol.rounding != "output" and protocol.channel != "y":
        _refuse(f"the channel y (the rounding is {protocol.rounding!r})", repr(protocol.channel))
    classic = ("matlab-bicubic", False, "matlab")
    if protocol.rounding == "classic" and classic != (
        protocol.degradation,
        protocol.use_supplied,
        protocol.filters,
    ):
        _refuse(
            "matlab-bicubic with the rounding 'classic', which reduces unrounded luma", protocol.degradation
        )


def title(protocol: EvalProtocol, supplied: bool) -> str:
    """The name that a report gives a protocol, complete enough to compare by.

    Args:
        protocol: any.
        supplied: whether the benchmark brought the LR images.

    Returns:
        classic-x2 for a named one; its terms for "pillow" and for any other:
        y-x2-border2-pillow-bicubic, or …-supplied.
    """
    if protocol.name and protocol.name != "pillow":
        return f"{protocol.name}-x{protocol.scale}"
    degradation = SUPPLIED if supplied else protocol.degradation
    terms = [protocol.channel, f"x{protocol.scale}", f"border{protocol.border_px}", degradation]
    terms += [f"rounding-{protocol.rounding}"] if protocol.rounding != "output" else []
    terms += [f"cut{protocol.modcrop}"] if protocol.modcrop > 1 else []
    terms += [f"{protocol.filters}-filters"] if protocol.filters != "pillow" else []
    return "-".join(terms)


def cut_px(protocol: EvalProtocol) -> int:
    """The number of pixels that HR images are cut to a multiple of."""
    return math.lcm(protocol.modcrop, protocol.scale)


def _refuse(expected: str, got: str) -> None:
    raise UserError(expected, got, "the evaluation protocol", "choose another")
