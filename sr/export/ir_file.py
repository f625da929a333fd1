"""The text of an IR (model.xml): marking operations that must stay float32, and removing what the machine
left in it.

Works on XML alone; never reads model.bin and never changes what the graph computes.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection
from pathlib import Path

from sr.models.metadata import GROUP

_EXACT = {"name": "precise", "version": "0"}
"""OpenVINO's own mark on an operation or a constant: no conversion to f16 or bf16, neither stored nor
computed."""
_EXACT_NAMES = ("precise", "DisablePrecisionConversion")
"""How versions of OpenVINO write the mark; all read the first."""
_NUMBERED = re.compile(r"^[A-Z][A-Za-z]*_\d+(_\w+)?$")
"""A name made from an operation's type and a counter of the process that converted it; ours have a path
before."""


def mark_exact(path: Path, names: Collection[str]) -> None:
    """Mark the operations of these names in the file at `path` as float32 on every device.

    Raises:
        ValueError: an operation is not there.
    """
    tree = ElementTree.parse(path)
    layers = {layer.get("name"): layer for layer in tree.getroot().find("layers")}
    missing = set(names) - layers.keys()
    if missing:
        raise ValueError(f"Expected operations {sorted(missing)} in {path.name}, got none of these names.")
    for name in names:
        if layers[name].get("type") not in ("Parameter", "Result"):
            _attributes(layers[name]).append(ElementTree.Element("attribute", _EXACT))
    tree.write(path, encoding="utf-8", xml_declaration=True)


def exact_names(path: Path) -> set[str]:
    """The names of the operations that are marked as float32."""
    layers = ElementTree.parse(path).getroot().find("layers")
    return {
        layer.get("name")
        for layer in layers
        for mark in layer.iter("attribute")
        if mark.get("name") in _EXACT_NAMES
    }


def is_numbered(name: str) -> bool:
    """Whether a name differs from one process to the next."""
    return _NUMBERED.match(name) is not None


def tidy(path: Path, metadata: dict[str, str]) -> bytes:
    """The IR at `path` as bytes that depend on the network alone.

    Its `rt_info` holds `metadata` under GROUP and nothing else (no paths, no versions); names that hold a
    counter are numbered by the place in the file.
    """
    root = ElementTree.parse(path).getroot()
    root.set("name", "upsampling")
    for layer in root.find("layers"):
        if is_numbered(layer.get("name")):
            layer.set("name", f"{layer.get('type')}_{layer.get('id')}")
    for child in root.findall("rt_info"):
        root.remove(child)
    group = ElementTree.SubElement(ElementTree.SubElement(root, "rt_info"), GROUP)
    for key, value in metadata.items():
        ElementTree.SubElement(group, key, {"value": value})
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _attributes(layer: ElementTree.Element) -> ElementTree.Element:
    """The layer's rt_info, which stands after its data and before its ports; made where there is none."""
    found = layer.find("rt_info")
    if found is None:
        found = ElementTree.Element("rt_info")
        layer.insert(0 if layer.find("data") is None else 1, found)
    return found
