"""Published figures, and what is known of published benchmarks: data/catalog/published_figures.toml, read and checked.

It says what was printed and where; it never measures, and never claims that two protocols agree.
"""

import dataclasses
import functools
import re
import tomllib
from pathlib import Path
from typing import Any

from data.errors import UserError

PUBLISHED = Path(__file__).parent / "published_figures.toml"


@dataclasses.dataclass(frozen=True)
class PublishedRow:
    """One model at one scale, as a table prints it."""

    model: str
    scale: int
    protocol: str
    """The name of the protocol that gives such figures."""
    source: str
    """Who printed it."""
    figures: dict[str, tuple[float, float]]
    """By benchmark: PSNR in dB and SSIM, both on luma."""
    parameters: int | None = None


@dataclasses.dataclass(frozen=True)
class Published:
    """All of the file."""

    images: dict[str, int]
    """How many images a benchmark has, by name."""
    rows: tuple[PublishedRow, ...]
    """In the order of the file."""


def read_published(path: Path = PUBLISHED) -> Published:
    """Read a file of published figures.

    Raises:
        UserError: it is not TOML, or a field is missing or of another kind.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        images = {name: int(known["images"]) for name, known in table["benchmarks"].items()}
        rows = tuple(_row(entry) for entry in table["rows"])
    except (tomllib.TOMLDecodeError, TypeError, KeyError, ValueError, AttributeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise UserError("a file of published figures", found, str(path), "see its first lines") from None
    unknown = sorted({name for row in rows for name in row.figures} - set(images))
    if unknown:
        remedy = "add them under [benchmarks]"
        raise UserError("figures of known benchmarks", ", ".join(unknown), str(path), remedy)
    return Published(images, rows)


@functools.cache
def published() -> Published:
    """The published figures that come with this program."""
    return read_published()


def plain_benchmark(name: str) -> str:
    """A benchmark's name without the scale that a folder adds to it: Set5 for Set5-x2."""
    return re.sub(r"-x\d$", "", name)


def _row(entry: dict[str, Any]) -> PublishedRow:
    own = {field.name for field in dataclasses.fields(PublishedRow)} - {"figures"}
    figures = {name: (float(pair[0]), float(pair[1])) for name, pair in entry.items() if name not in own}
    return PublishedRow(figures=figures, **{name: entry[name] for name in own if name in entry})
