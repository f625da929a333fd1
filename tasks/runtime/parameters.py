"""Luigi parameters that check their own values: ranges, choices, comma-separated lists and image sizes.

Each describes its values in `expected`, e.g. "a whole number from 16 to 8192", which `tasks.runtime.arguments` puts
into the error for a wrong one. The check is in `normalize`, so it also holds for defaults and for values given in
Python.
"""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import luigi

from data.user_paths import expand_home

Item = TypeVar("Item")
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
            raise _invalid(x, self.expected)
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
            raise _invalid(x, self.expected)
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


class _ListParameter(luigi.Parameter[tuple[Item, ...]], Generic[Item]):
    """A tuple, written with commas between its items.

    Args:
        min_items: how many there must be at least.
        options: what `luigi.Parameter` takes.
    """

    expected = "a list with commas between the items"

    def __init__(self, *, min_items: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self._min_items = min_items

    def parse(self, x: str) -> tuple[Item, ...]:
        """Return the items of a text."""
        return tuple(self.parse_item(part.strip()) for part in x.split(",") if part.strip())

    def serialize(self, x: Iterable[Item]) -> str:
        """Return the text that `parse` reads."""
        return ",".join(self.format_item(item) for item in x)

    def normalize(self, x: Sequence[Item]) -> tuple[Item, ...]:
        """Return the items as a tuple.

        Raises:
            ValueError: there are too few, or it is a text.
        """
        if isinstance(x, str) or len(x) < self._min_items:
            raise _invalid(x, self.expected)
        return tuple(x)

    def parse_item(self, text: str) -> Item:
        """Return the item that a text means; raise ValueError where it means none."""
        raise NotImplementedError

    def format_item(self, item: Item) -> str:
        """Return the text that `parse_item` reads."""
        return str(item)


class StrListParameter(_ListParameter[str]):
    """Names or paths, e.g. `Set5,Set14`."""

    expected = "one or more names or paths with commas between them"

    def parse_item(self, text: str) -> str:
        """Return the text."""
        return text


class PathParameter(luigi.Parameter[str]):
    """A path as text, with `~` expanded."""

    def parse(self, x: str) -> str:
        """Return the path."""
        return str(expand_home(x)) if x.startswith("~") else x


class PathListParameter(_ListParameter[Path]):
    """Paths, with `~` expanded."""

    expected = "one or more paths with commas between them"

    def parse_item(self, text: str) -> Path:
        """Return the path."""
        return expand_home(text)


class ChoiceListParameter(_ListParameter[str]):
    """Some of several names, e.g. `fp32,int8`.

    Args:
        choices: the names.
        options: what `luigi.Parameter` takes.
    """

    def __init__(self, *, choices: Iterable[str], **options: Any) -> None:
        super().__init__(**options)
        self._choices = tuple(choices)
        self.expected = f"some of {', '.join(self._choices)}, with commas between them"

    def parse_item(self, text: str) -> str:
        """Return the name; raise ValueError for an unknown one."""
        if text not in self._choices:
            raise _invalid(text, self.expected)
        return text


class IntListParameter(_ListParameter[int]):
    """Whole numbers, e.g. `1,2,4`.

    Args:
        at_least: smallest allowed number.
        auto: the number that the word "auto" stands for; None: the word is not allowed.
        options: what `luigi.Parameter` takes.
    """

    def __init__(self, *, at_least: int = 0, auto: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._at_least, self._auto = at_least, auto
        words = f"whole numbers of {at_least} or more" + ("" if auto is None else " or auto")
        self.expected = f"{words}, with commas between them"

    def parse_item(self, text: str) -> int:
        """Return the number; raise ValueError for any other text."""
        if text == "auto" and self._auto is not None:
            return self._auto
        number = int(text)
        if number < self._at_least:
            raise _invalid(text, self.expected)
        return number

    def format_item(self, item: int) -> str:
        """Return the number's digits, or auto."""
        return "auto" if item == self._auto else str(item)


class WeightListParameter(_ListParameter[float]):
    """Numbers above 0, e.g. `2,1`."""

    expected = "numbers above 0 with commas between them"

    def parse_item(self, text: str) -> float:
        """Return the number; raise ValueError for any other text."""
        number = float(text)
        if not 0 < number < math.inf:
            raise _invalid(text, self.expected)
        return number


class SizeListParameter(_ListParameter[Size]):
    """Image sizes, e.g. `960x540,1280x720`; each value is height and width.

    Args:
        max_side_px: longest allowed side.
        options: what `luigi.Parameter` takes.
    """

    def __init__(self, *, max_side_px: int = MAX_SIDE_PX, **options: Any) -> None:
        super().__init__(**options)
        self._max_side_px = max_side_px
        self.expected = (
            f"sizes such as 960x540 (WIDTHxHEIGHT, at most {max_side_px} pixels a side), with commas"
        )

    def parse_item(self, text: str) -> Size:
        """Return height and width; raise ValueError for any other text."""
        size = parse_size(text)
        if max(size) > self._max_side_px:
            raise _invalid(text, self.expected)
        return size

    def format_item(self, item: Size) -> str:
        """Return WIDTHxHEIGHT."""
        return format_size(item)


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
        raise _invalid(text, OptionalSizeParameter.expected)
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


def _invalid(value: object, expected: str) -> ValueError:
    return ValueError(f"{value!r} is not {expected}")
