"""Luigi parameters that check their own values: ranges, choices and image sizes.

Each describes its values in `expected`, e.g. "a whole number from 16 to 8192", which `tasks.runtime.arguments` puts
into the error for a wrong one. The check is in `normalize`, so it also holds for defaults and for values given in
Python.
"""

import math
import re
from collections.abc import Iterable
from typing import Any

import luigi

from data.user_paths import expand_home

Size = tuple[int, int]
"""Height and width in pixels."""
MAX_SIDE_PX = 99_999


class IntParameter(luigi.IntParameter):
    """A whole number within a range.

    Args:
        at_least: smallest allowed value; None: no limit.
        at_most: largest allowed value; None: no limit.
        options: what `luigi.IntParameter` takes.
    """

    def __init__(self, *, at_least: int | None = None, at_most: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._at_least, self._at_most = at_least, at_most
        self.expected = "a whole number" + _describe_range(at_least, at_most)

    def normalize(self, x: int) -> int:
        """Return the value.

        Raises:
            ValueError: it is out of range.
        """
        too_small = self._at_least is not None and x < self._at_least
        if too_small or (self._at_most is not None and x > self._at_most):
            raise invalid(x, self.expected)
        return x


class FloatParameter(luigi.FloatParameter):
    """A finite number within a range.

    Args:
        at_least: smallest allowed value; None: no limit.
        above: the value must be larger than this; None: no limit.
        at_most: largest allowed value; None: no limit.
        below: the value must be smaller than this; None: no limit.
        options: what `luigi.FloatParameter` takes.
    """

    def __init__(
        self,
        *,
        at_least: float | None = None,
        above: float | None = None,
        at_most: float | None = None,
        below: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._at_least, self._above, self._at_most, self._below = at_least, above, at_most, below
        self.expected = "a number" + _describe_range(at_least, at_most, above, below)

    def normalize(self, x: float) -> float:
        """Return the value.

        Raises:
            ValueError: it is out of range, infinite or NaN.
        """
        is_valid = (
            math.isfinite(x)
            and (self._at_least is None or x >= self._at_least)
            and (self._above is None or x > self._above)
            and (self._at_most is None or x <= self._at_most)
            and (self._below is None or x < self._below)
        )
        if not is_valid:
            raise invalid(x, self.expected)
        return x


class ChoiceParameter(luigi.ChoiceParameter[str]):
    """One of several names; an empty choice stands for a default that is found elsewhere.

    Luigi's own lists the choices in another order in each run; this one keeps the order given.

    Args:
        choices: the names.
        options: what `luigi.ChoiceParameter` takes.
    """

    def __init__(self, *, choices: Iterable[str], **options: Any) -> None:
        names = tuple(choices)
        description = options.pop("description", "")
        super().__init__(choices=names, **options)
        self.expected = f"one of {', '.join(name for name in names if name)}"
        self.description = f"{description}; {self.expected}" if description else self.expected


class BoolParameter(luigi.BoolParameter):
    """Yes or no: `--flag` says yes, and `--flag false` no, whatever the default or luigi.cfg says.

    Luigi's own takes no value on the command line, so that what is on by default can't be switched off there.
    """

    expected = "true or false"

    def __init__(self, **options: Any) -> None:
        super().__init__(parsing=luigi.BoolParameter.EXPLICIT_PARSING, **options)


class PathParameter(luigi.Parameter[str]):
    """A path as text, with `~` expanded."""

    def parse(self, x: str) -> str:
        """Return the path."""
        return str(expand_home(x)) if x.startswith("~") else x


class OptionalSizeParameter(luigi.Parameter[Size | None]):
    """An image size, e.g. `960x540`; the value is height and width, or None where the text is empty."""

    expected = f"a size such as 960x540 (WIDTHxHEIGHT, at most {MAX_SIDE_PX} pixels a side)"

    def parse(self, x: str) -> Size | None:
        """Return height and width; raise ValueError for any other text."""
        return parse_size(x) if x else None

    def serialize(self, x: Size | None) -> str:
        """Return the text that `parse` reads."""
        return format_size(x) if x else ""


def parse_size(text: str) -> Size:
    """Read WIDTHxHEIGHT.

    Returns:
        Height and width in pixels: arrays have the height first.

    Raises:
        ValueError: the text is no such size, or a side is 0 or longer than MAX_SIDE_PX.
    """
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise invalid(text, OptionalSizeParameter.expected)
    return int(match[2]), int(match[1])


def format_size(size: Size) -> str:
    """Return WIDTHxHEIGHT of a height and a width."""
    height, width = size
    return f"{width}x{height}"


def _describe_range(
    at_least: float | None, at_most: float | None, above: float | None = None, below: float | None = None
) -> str:
    """Return a range in words that follow "a number", e.g. " from 0 to below 1"; empty for no limit."""
    if at_least is not None and at_most is not None:
        return f" from {at_least:g} to {at_most:g}"
    if at_least is not None:
        return f" from {at_least:g} to below {below:g}" if below is not None else f" of {at_least:g} or more"
    parts = [
        f"{word} {limit:g}"
        for word, limit in (("above", above), ("at most", at_most), ("below", below))
        if limit is not None
    ]
    return f" {' and '.join(parts)}" if parts else ""


def invalid(value: object, expected: str) -> ValueError:
    """Return the error for a value that a parameter does not take."""
    return ValueError(f"{value!r} is not {expected}")
