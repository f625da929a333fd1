"""The inputs and outputs of a graph, in whatever runtime, for checks and messages."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Port(NamedTuple):
    """An input or output of a graph."""

    name: str
    type: str
    shape: Sequence[Any]
    """Numbers, or names of sizes that are free."""


def describe_ports(ports: Sequence[Port]) -> str:
    """Return names, types and shapes in words."""
    return " and ".join(f"{one.name} ({one.type}, {' x '.join(map(str, one.shape))})" for one in ports)
