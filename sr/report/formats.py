"""The figures of a report, and the formats of a model that it compares, in the order of its tables."""

from collections.abc import Iterable
from typing import Any

Figures = dict[str, Any]
"""Plain data of a report, as JSON holds it."""

TORCH = "torch"
FORMATS = (TORCH, "onnx", "fp32", "fp16", "int8")
"""The formats of a model in the order of a table (fp32, fp16 and int8 are OpenVINO IRs); others may follow."""
BASELINES = ("bicubic", "lanczos")


def sort_formats(names: Iterable[str]) -> list[str]:
    """Sort formats in the order of FORMATS, then the others by name."""
    return sorted(names, key=lambda name: (FORMATS.index(name) if name in FORMATS else len(FORMATS), name))
