"""Parse the names of metrics: one that pyiqa has (hyperiqa), or NAME=FILE.onnx."""

import re
from pathlib import Path
from typing import NamedTuple

from data.errors import UserError
from data.user_paths import expand_home

_NAME = re.compile(r"[A-Za-z][\w+-]*")


class MetricChoice(NamedTuple):
    """A metric to score crops by."""

    name: str
    """pyiqa's name, or that of the file's scores: rules use it."""
    path: Path | None
    """The ONNX file; None for a metric of pyiqa."""


def parse_metric(text: str) -> MetricChoice:
    """Parse the name of a metric.

    Raises:
        UserError: it is no name, or no ONNX file is there.

    Example:
        >>> parse_metric("hyperiqa")
        MetricChoice(name='hyperiqa', path=None)
    """
    name, is_file, file = text.partition("=")
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise UserError(
            f"[scores] metrics: {text!r} names no metric", "Give a name that pyiqa knows, or NAME=FILE.onnx"
        )
    if not is_file:
        return MetricChoice(name, None)
    path = expand_home(file.strip())
    if path.suffix.lower() != ".onnx":
        raise UserError(
            f"[scores] metrics: {path} of {name} must be an ONNX file (.onnx)", "Export the network to ONNX"
        )
    if not path.is_file():
        raise UserError(f"[scores] metrics: there is no file {path} for {name}", "Correct the path")
    return MetricChoice(name, path)
