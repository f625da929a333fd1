"""Read files of scores and lists that other programs wrote: CSV, parquet, and plain text.

Text has a name in each line and, behind a tab, comma, colon or space, a number; or names alone, which is a list of what
to keep. Its one metric has the file's name.
"""

import re
from pathlib import Path

import pyarrow
import pyarrow.csv
import pyarrow.parquet

from data.errors import UserError
from data.hashing import sha256_file

NAME_COLUMNS = ("key", "source", "file")
ANY_NAME = "name"
"""The column of names of a text: a key, the id of a source image, or a path with its file name."""
TEXT_SUFFIX = ".txt"
_SCORED = re.compile(r"(.+?)(?:\s*[\t,;:]\s*|\s+)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_LISTED = 1.0
"""The score of what a list names."""


def read_scores(path: Path) -> pyarrow.Table:
    """Read a file of scores.

    Raises:
        UserError: it can't be read, or has no column of names, or none of scores.
    """
    if path.suffix.lower() == TEXT_SUFFIX:
        return _read_text(path)
    try:
        table = pyarrow.parquet.read_table(path) if path.suffix == ".parquet" else pyarrow.csv.read_csv(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UserError(
            f"[selection] scores: {path} can't be read: {error}", "Correct the path or the file"
        ) from None
    if not any(name in table.column_names for name in NAME_COLUMNS):
        raise UserError(
            f"[selection] scores: {path} has the columns {', '.join(table.column_names)}, but none says what is scored",
            f"Name that column one of: {', '.join(NAME_COLUMNS)}",
        )
    if not score_names(table):
        raise UserError(
            f"[selection] scores: {path} has no column of numbers",
            "Add one, and name it in [selection] rules",
        )
    return table


def hash_scores(path: Path) -> str:
    """Return the sha256 of a file of scores; that of a text includes its name, which is that of the metric.

    Raises:
        UserError: it can't be read.
    """
    try:
        digest = sha256_file(path)
    except OSError as error:
        raise UserError(
            f"[selection] scores: {path} can't be read: {error.strerror}", "Correct the path"
        ) from None
    return f"{digest} {_metric_name(path)}" if path.suffix.lower() == TEXT_SUFFIX else digest


def score_names(table: pyarrow.Table) -> list[str]:
    """Return the names of the columns of numbers, sorted."""
    return sorted(
        field.name
        for field in table.schema
        if field.name not in (*NAME_COLUMNS, ANY_NAME)
        and (pyarrow.types.is_integer(field.type) or pyarrow.types.is_floating(field.type))
    )


def _metric_name(path: Path) -> str:
    return re.sub(r"[^\w+-]", "_", path.stem)


def _read_text(path: Path) -> pyarrow.Table:
    """Read names, or names with a number each.

    Raises:
        UserError: it can't be read, is empty, or only some lines have a number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"[selection] scores: {path} can't be read: {error}", "Correct the path or the file"
        ) from None
    lines = [line.strip() for line in text.splitlines()]
    numbers = [number for number, line in enumerate(lines, 1) if line]
    lines = [line for line in lines if line]
    found = [_SCORED.fullmatch(line) for line in lines]
    if not lines:
        raise UserError(f"[selection] scores: {path} is empty", "Give a file with a name in each line")
    if any(found) and not all(found):
        place = found.index(None)
        raise UserError(
            f"[selection] scores: {path} has a number in some lines, but none at the end of line {numbers[place]}: "
            f"{lines[place][:80]!r}",
            "Give each line a name and a number, or names alone",
        )
    names = [match[1] if match else line for match, line in zip(found, lines, strict=True)]
    scores = [float(match[2]) if match else _LISTED for match in found]
    return pyarrow.table({ANY_NAME: names, _metric_name(path): scores})
