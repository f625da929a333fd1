"""Read the published figures of benchmark datasets from data/catalog/published_figures.toml.

They say what was printed and where. Nothing is measured here, and two protocols are never assumed to agree.
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
    """The figures of one model at one scale, as a table prints them."""

    model: str
    scale: int
    protocol: str
    """Name of the evaluation protocol that gives such figures."""
    source: str
    """The publication."""
    figures: dict[str, tuple[float, float]]
    """By benchmark dataset: PSNR in dB and SSIM (0 to 1), both on luma."""
    parameters: int | None = None
    """Number of the model's parameters; None if it is not printed."""


@dataclasses.dataclass(frozen=True)
class PublishedFigures:
    """The contents of the file."""

    images: dict[str, int]
    """Number of images in each benchmark dataset, by its name."""
    rows: tuple[PublishedRow, ...]
    """In file order."""


def read_published_figures(path: Path = PUBLISHED) -> PublishedFigures:
    """Read a file of published figures.

    Raises:
        UserError: it is not TOML, a field is missing or of another type, or a row names an unknown benchmark.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        images = {name: int(known["images"]) for name, known in table["benchmarks"].items()}
        rows = tuple(_row(entry) for entry in table["rows"])
    except (tomllib.TOMLDecodeError, TypeError, KeyError, ValueError, AttributeError) as error:
        message = f"The file of published figures {path} is invalid: {type(error).__name__}: {error}"
        raise UserError(message, "Its first lines document the format") from None
    unknown = sorted({name for row in rows for name in row.figures} - set(images))
    if unknown:
        message = f"{path} has figures for unknown benchmarks: {', '.join(unknown)}"
        raise UserError(message, "Add them under [benchmarks]")
    return PublishedFigures(images, rows)


@functools.cache
def published() -> PublishedFigures:
    """Return the published figures that come with this program."""
    return read_published_figures()


def strip_scale_suffix(name: str) -> str:
    """Remove the scale that a benchmark folder adds to the dataset's name.

    Example:
        >>> strip_scale_suffix("Set5-x2")
        'Set5'
    """
    return re.sub(r"-x\d$", "", name)


def _row(entry: dict[str, Any]) -> PublishedRow:
    """Build a row: keys that are not fields of PublishedRow name benchmark datasets."""
    known = {field.name for field in dataclasses.fields(PublishedRow)} - {"figures"}
    figures = {name: (float(pair[0]), float(pair[1])) for name, pair in entry.items() if name not in known}
    return PublishedRow(figures=figures, **{name: entry[name] for name in known if name in entry})
