"""Settings that are declared once: fields of a dataclass with their default, meaning, range and choices.

`tasks.runtime.setting_parameters` makes Luigi's parameters of them, and `check_values` checks a record that was made
in any other way.
"""

import dataclasses
import math
from typing import Any

from data.errors import UserError

_KEY = "setting"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a field may hold."""

    description: str
    """What it means, for the reference page and the command line."""
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    @property
    def bounds(self) -> dict[str, float]:
        """The range, without its missing ends."""
        ends = {name: getattr(self, name) for name in ("at_least", "above", "at_most", "below")}
        return {name: end for name, end in ends.items() if end is not None}

    def expected(self) -> str:
        """Return what a value must be."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return "a finite number, " + " and ".join(
            f"{name.replace('_', ' ')} {end:g}" for name, end in self.bounds.items()
        )

    def allows(self, value: Any) -> bool:
        """Return whether a value is one of the choices, or in the range; a NaN is in none."""
        if self.choices:
            return value in self.choices
        inside = {
            "at_least": lambda end: value >= end,
            "above": lambda end: value > end,
            "at_most": lambda end: value <= end,
            "below": lambda end: value < end,
        }
        return not self.bounds or (
            math.isfinite(value) and all(inside[name](end) for name, end in self.bounds.items())
        )


def setting(default: Any, description: str, choices: tuple[str, ...] = (), **bounds: float) -> Any:
    """Declare a field of a dataclass.

    Args:
        default: its value where nothing else is said.
        description: what it means, without a full stop.
        choices: the only texts that it may be.
        bounds: any of at_least, above, at_most and below, for a number.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Job:
        ...     batch_size: int = setting(32, "pairs of a step", at_least=1)
    """
    return dataclasses.field(default=default, metadata={_KEY: Setting(description, choices, **bounds)})


def settings_of(record: Any) -> dict[str, Setting]:
    """Return the settings among the fields of a dataclass or one of its instances, by name, in their order."""
    return {
        field.name: field.metadata[_KEY] for field in dataclasses.fields(record) if _KEY in field.metadata
    }


def check_values(record: Any, section: str) -> None:
    """Check that each setting of a record has a valid value.

    Raises:
        UserError: one has not; it is named as a key of `section` of luigi.cfg.
    """
    for name, declared in settings_of(record).items():
        value = getattr(record, name)
        if not declared.allows(value):
            raise UserError(f"[{section}] {name} must be {declared.expected()}, not {value!r}")
