"""The shape of an OpenVINO graph: which operations carry the image, and which of them need full precision.

Finds places by how the graph is wired, not by what they are called; names serve to report them. Changes
nothing.
"""

import dataclasses
from collections.abc import Iterable

from data.errors import UserError
from sr.runtime.openvino_runtime import openvino as ov

WEIGHTED = frozenset({"Convolution", "GroupConvolution", "MatMul"})
NORMALIZING = frozenset({"MVN", "ReduceMean"})
"""What takes the mean of features: of each pixel, over its channels."""


@dataclasses.dataclass(frozen=True)
class SensitivePlaces:
    """Names of operations that 8 bits, or bf16, would harm."""

    exact: frozenset[str]
    """What every pixel's value passes through as it is, with its constants; kept in float32 on every device,
    since bf16 has no 256 levels between 0 and 1."""
    unquantized: frozenset[str]
    """These, and what else must not be in 8 bits."""

    def with_float(self, names: frozenset[str]) -> "SensitivePlaces":
        """The same, with more operations that must not be in 8 bits."""
        return dataclasses.replace(self, unquantized=self.unquantized | names)


class IrGraph:
    """An openvino.Model as operations that carry images (not constants, not computations of shapes).

    Args:
        model: with one input and one output; not changed, and not to be changed meanwhile.
    """

    def __init__(self, model: ov.Model) -> None:
        self.model = model
        self.operations: dict[str, ov.Node] = {}
        for node in model.get_ordered_ops():
            from_image = any(name in self.operations for name in _producers(node))
            if node.get_type_name() == "Parameter" or (from_image and node.get_type_name() != "ShapeOf"):
                self.operations[node.get_friendly_name()] = node

    def inputs(self, name: str) -> list[str]:
        """The operations whose images this one takes."""
        return [producer for producer in _producers(self.operations[name]) if producer in self.operations]

    def consumers(self, name: str) -> list[str]:
        """The operations that take this one's image."""
        targets = self.operations[name].output(0).get_target_inputs()
        names = [target.get_node().get_friendly_name() for target in targets]
        return [consumer for consumer in names if consumer in self.operations]

    def ancestors(self, name: str) -> set[str]:
        """This operation and all that it is computed from."""
        found, waiting = set(), [name]
        while waiting:
            current = waiting.pop()
            if current not in found:
                found.add(current)
                waiting += self.inputs(current)
        return found

    def constants(self, names: Iterable[str]) -> set[str]:
        """The constants that these operations take (weights, factors)."""
        nodes = [value.get_node() for name in names for value in self.operations[name].input_values()]
        return {node.get_friendly_name() for node in nodes if node.get_type_name() == "Constant"}

    def of_types(self, types: Iterable[str]) -> set[str]:
        """The operations of these OpenVINO types."""
        return {name for name, node in self.operations.items() if node.get_type_name() in set(types)}

    def global_addition(self) -> tuple[str, set[str]]:
        """The last operation that adds two images of which one was weighed more, and all that follows it.

        What follows may add too, where it turns a color space into RGB: sums of planes that went the same way.

        Raises:
            UserError: there is none.
        """
        weights = self.of_types(WEIGHTED)
        for name in reversed(self.operations):
            inputs = self.inputs(name)
            if self.operations[name].get_type_name() != "Add" or len(inputs) != 2:
                continue
            first, second = (self.ancestors(side) & weights for side in inputs)
            if first != second:
                return name, self.operations.keys() - self.ancestors(name)
        raise _unknown_wiring("an addition of two images near the output", "none")


def find_sensitive_places(model: ov.Model) -> SensitivePlaces:
    """Find what must stay in float, in any of our networks.

    Both families end in a global addition: of the features from before and after the trunk (VapSR), or of the
    bicubic upscaling and the residual (realtime). Eight bits on either operand, or on what follows, cost
    more than a decibel. Inside the trunk, additions and normalizations are kept as well, and a last layer of
    the trunk that feeds a global addition of features (not of pixels).

    Raises:
        UserError: the graph is wired otherwise.
    """
    graph = IrGraph(model)
    addition, tail = graph.global_addition()
    sides = [graph.ancestors(side) for side in graph.inputs(addition)]
    weights = graph.of_types(WEIGHTED)
    short, trunk = sorted(sides, key=lambda side: len(side & weights))
    if not short & weights or not (trunk - short) & weights:
        raise _unknown_wiring("a weighted layer on each side of the global addition", addition)
    exact = {addition, *tail, *short}
    unquantized = set(exact)
    if tail & weights:  # features are added, then upsampled: pixels only appear after the last layer
        exact = tail - set().union(*(graph.ancestors(name) for name in tail & weights))
        exact |= {name for name in short if not graph.ancestors(name) & weights}  # levels to a color space
        unquantized |= _last_layer(graph, addition, trunk - short)
    for name in trunk - short:
        if graph.operations[name].get_type_name() == "Add" and len(graph.inputs(name)) == 2:
            unquantized.add(name)
    for name in graph.of_types(NORMALIZING):
        unquantized |= _normalization(graph, name)
    return SensitivePlaces(frozenset(exact | graph.constants(exact)), frozenset(unquantized))


def _last_layer(graph: IrGraph, addition: str, trunk: set[str]) -> set[str]:
    """From the addition up the trunk to the first weighted layer, this included."""
    name = next(side for side in graph.inputs(addition) if side in trunk)
    found = {name}
    while graph.operations[name].get_type_name() not in WEIGHTED:
        name = graph.inputs(name)[0]
        found.add(name)
    return found


def _normalization(graph: IrGraph, name: str) -> set[str]:
    """A normalization as a whole: what it takes, and all that follows before a weighted layer or another sum."""
    found, waiting = {name}, graph.inputs(name)
    while waiting:
        current = waiting.pop()
        found.add(current)
        waiting += [
            other for other in graph.consumers(current) if other not in found and _is_local(graph, other)
        ]
    return found


def _is_local(graph: IrGraph, name: str) -> bool:
    """Whether an operation neither weighs features nor adds two images: one that a normalization is made of."""
    kind = graph.operations[name].get_type_name()
    return kind not in WEIGHTED and not (kind == "Add" and len(graph.inputs(name)) == 2)


def _producers(node: ov.Node) -> list[str]:
    return [value.get_node().get_friendly_name() for value in node.input_values()]


def _unknown_wiring(expected: str, got: str) -> UserError:
    return UserError(
        expected, got, "the exported network", "use the ONNX file, and report this with the preset"
    )
