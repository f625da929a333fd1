"""What an architecture search chooses from: the dimensions of the realtime family, and one candidate of them.

Plain data: it loads neither torch nor Optuna.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from data.errors import UserError
from sr.models.presets import (
    MAX_CHANNELS,
    MAX_LAYERS,
    MIN_LAYERS,
    ModelDescription,
    describe,
    find_preset,
    spell_realtime,
)

PLANES = ("luma", "rgb")
"""What a residual is computed from and added to."""
ACTIVATIONS = ("relu", "prelu")
UNSHUFFLES = (2, 4)
SWITCH = ("on", "off")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One network of the realtime family, and whether it is trained with branches."""

    scale: int
    layers: int
    channels: int
    planes: str
    """A name in PLANES."""
    unshuffle: int
    """Side of a cell in LR pixels, one of UNSHUFFLES."""
    activation: str
    """A name in ACTIVATIONS."""
    reparameterize: str
    """on or off."""

    @property
    def preset(self) -> str:
        """What `[model] preset` takes."""
        configuration = {
            "scale": self.scale,
            "layers": self.layers,
            "channels": self.channels,
            "planes": 3 if self.planes == "rgb" else 1,
        }
        configuration |= {"unshuffle": self.unshuffle} if self.unshuffle != UNSHUFFLES[0] else {}
        configuration |= {"prelu": 1} if self.activation == "prelu" else {}
        return spell_realtime(configuration)

    @property
    def name(self) -> str:
        """A name that no other candidate has, and that a directory can have."""
        return self.preset if self.reparameterize == "on" else f"{self.preset}-plain"

    def describe(self) -> ModelDescription:
        """Return the network to train."""
        return describe(self.preset, reparameterize=self.reparameterize)


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The values that each dimension of a candidate can have."""

    scale: int
    layers: tuple[int, ...]
    channels: tuple[int, ...]
    planes: tuple[str, ...]
    unshuffle: tuple[int, ...]
    activation: tuple[str, ...]
    reparameterize: tuple[str, ...]

    def check(self) -> None:
        """Check that each candidate is a network of the family.

        Raises:
            UserError: a value is out of range, or occurs twice.
        """
        known: dict[str, tuple[Any, ...]] = {
            "layers": tuple(range(MIN_LAYERS, MAX_LAYERS + 1)),
            "channels": tuple(range(1, MAX_CHANNELS + 1)),
            "planes": PLANES,
            "unshuffle": UNSHUFFLES,
            "activation": ACTIVATIONS,
            "reparameterize": SWITCH,
        }
        for name, values in self.dimensions().items():
            allowed = known[name]
            wrong = [one for one in values if one not in allowed]
            text = f"{allowed[0]} to {allowed[-1]}" if len(allowed) > 2 else " or ".join(map(str, allowed))
            if wrong:
                raise UserError(f"[search] {name} must be {text}, not {wrong[0]}")
            if not values or len(set(values)) < len(values):
                raise UserError(f"[search] {name} must list each value once, at least one, not {values}")
        find_preset(self.reference)

    def dimensions(self) -> dict[str, tuple[Any, ...]]:
        """Return the values of each dimension by name; the scale is none."""
        return {name: value for name, value in vars(self).items() if name != "scale"}

    def size(self) -> int:
        """Return how many candidates there are."""
        return math.prod(len(values) for values in self.dimensions().values())

    def candidates(self) -> Iterator[Candidate]:
        """Yield every candidate."""
        for values in itertools.product(*self.dimensions().values()):
            yield self.candidate(dict(zip(self.dimensions(), values, strict=True)))

    def candidate(self, values: Mapping[str, Any]) -> Candidate:
        """Return the candidate of these values, by the names of the dimensions."""
        return Candidate(scale=self.scale, **values)

    def values_of(self, candidate: Candidate) -> dict[str, Any]:
        """Return the values of a candidate, by the names of the dimensions."""
        return {name: getattr(candidate, name) for name in self.dimensions()}

    @property
    def reference(self) -> str:
        """The preset that every candidate is timed against."""
        return find_preset(f"realtime-5x32-x{self.scale}").preset

    @property
    def timed_planes(self) -> str:
        """What is timed: planes of luma, as videos have them, if every candidate works on luma alone; else RGB."""
        return "luma" if set(self.planes) == {"luma"} else "rgb"
