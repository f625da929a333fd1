"""Read the marks of `ir_file.disable_precision_conversion` back."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

_MARKS = ("precise", "DisablePrecisionConversion")
"""How versions of OpenVINO write the mark; all of them read the first."""


def full_precision_names(path: Path) -> set[str]:
    """Return the names of the operations in an IR that are marked as float32."""
    layers = ElementTree.parse(path).getroot().find("layers")
    return {
        layer.get("name")
        for layer in layers
        for mark in layer.iter("attribute")
        if mark.get("name") in _MARKS
    }
