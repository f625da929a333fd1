"""Edit the XML of an IR (model.xml): mark operations that must stay float32, and remove traces of the machine.

Never reads model.bin, and never changes what the graph computes.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection
from pathlib import Path

from sr.models.metadata import GROUP

_FULL_PRECISION = {"name": "precise", "version": "0"}
"""OpenVINO's attribute DisablePrecisionConversion as IR files spell it: the operation or constant is neither stored nor
computed in f16 or bf16."""
_NUMBERED = re.compile(r"^[A-Z][A-Za-z]*_\d+(_\w+)?$")
"""A name that OpenVINO made of an operation's type and a counter; names from the network begin with a path."""


def disable_precision_conversion(path: Path, names: Collection[str]) -> None:
    """Mark operations in the file at `path` so that every device computes them in float32.

    Raises:
        ValueError: an operation is not in the file.
    """
    tree = ElementTree.parse(path)
    layers = {layer.get("name", ""): layer for layer in _layers(tree.getroot())}
    missing = set(names) - layers.keys()
    if missing:
        raise ValueError(f"Expected operations {sorted(missing)} in {path.name}, got none of these names.")
    for name in names:
        if layers[name].get("type") not in ("Parameter", "Result"):
            _attributes(layers[name]).append(ElementTree.Element("attribute", _FULL_PRECISION))
    tree.write(path, encoding="utf-8", xml_declaration=True)


def is_numbered(name: str) -> bool:
    """Return whether a name contains a counter, and so differs from one process to the next."""
    return _NUMBERED.match(name) is not None


def tidy(path: Path, metadata: dict[str, str]) -> bytes:
    """Return the IR at `path` as bytes that depend on the network only.

    Its `rt_info` holds `metadata` under GROUP and nothing else (no paths, no versions). Names that contain a counter
    are numbered by their position in the file.
    """
    root = ElementTree.parse(path).getroot()
    root.set("name", "upsampling")
    for layer in _layers(root):
        if is_numbered(layer.get("name", "")):
            layer.set("name", f"{layer.get('type')}_{layer.get('id')}")
    for child in root.findall("rt_info"):
        root.remove(child)
    group = ElementTree.SubElement(ElementTree.SubElement(root, "rt_info"), GROUP)
    for key, value in metadata.items():
        ElementTree.SubElement(group, key, {"value": value})
    ElementTree.indent(root, "\t")
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _layers(root: ElementTree.Element) -> list[ElementTree.Element]:
    return root.findall("layers/layer")


def _attributes(layer: ElementTree.Element) -> ElementTree.Element:
    """Return the layer's rt_info, which stands after its data and before its ports; add it if it is missing."""
    found = layer.find("rt_info")
    if found is None:
        found = ElementTree.Element("rt_info")
        layer.insert(0 if layer.find("data") is None else 1, found)
    return found
