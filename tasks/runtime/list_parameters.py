"""Luigi parameters whose value is a list with commas between the items: names, paths, numbers, image sizes."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import luigi

from data.user_paths import expand_home
from tasks.runtime.parameters import MAX_SIDE_PX, Size, format_size, invalid, parse_size

Item = TypeVar("Item")


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
            raise invalid(x, self.expected)
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
            raise invalid(text, self.expected)
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
            raise invalid(text, self.expected)
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
            raise invalid(text, self.expected)
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
            raise invalid(text, self.expected)
        return size

    def format_item(self, item: Size) -> str:
        """Return WIDTHxHEIGHT."""
        return format_size(item)
