"""Analyze an OpenVINO graph: which operations carry the image, and which of them need full precision.

Operations are found by how the graph is connected, not by their names; names only identify them. The graph is not
changed.
"""

import dataclasses
from collections.abc import Iterable

from data.errors import UserError
from sr.runtime.openvino_runtime import openvino as ov

WEIGHTED = frozenset({"Convolution", "GroupConvolution", "MatMul"})
NORMALIZING = frozenset({"MVN", "ReduceMean"})
"""Operations that average features, for each pixel over its channels."""


@dataclasses.dataclass(frozen=True)
class SensitiveOperations:
    """Names of operations that lose accuracy in 8 bits, or in bf16."""

    full_precision: frozenset[str]
    """Operations on pixel values, and their constants. They compute in float32 on every device, since bf16 cannot
    represent 256 levels between 0 and 1."""
    ignored_scope: frozenset[str]
    """Operations that NNCF must not quantize: those in `full_precision`, and others."""

    def add_ignored(self, names: frozenset[str]) -> "SensitiveOperations":
        """Return a copy with more operations that NNCF must not quantize."""
        return dataclasses.replace(self, ignored_scope=self.ignored_scope | names)


class IrGraph:
    """The operations of an openvino.Model that carry images (no constants, no computation of shapes).

    Args:
        model: with one input and one output; it must not be changed while this object is in use.
    """

    def __init__(self, model: ov.Model) -> None:
        self.model = model
        self.operations: dict[str, ov.Node] = {}
        for node in model.get_ordered_ops():
            from_image = any(name in self.operations for name in _producers(node))
            if node.get_type_name() == "Parameter" or (from_image and node.get_type_name() != "ShapeOf"):
                self.operations[node.get_friendly_name()] = node

    def inputs(self, name: str) -> list[str]:
        """Return the operations whose images an operation takes."""
        return [producer for producer in _producers(self.operations[name]) if producer in self.operations]

    def consumers(self, name: str) -> list[str]:
        """Return the operations that take an operation's image."""
        targets = self.operations[name].output(0).get_target_inputs()
        names = [target.get_node().get_friendly_name() for target in targets]
        return [consumer for consumer in names if consumer in self.operations]

    def ancestors(self, name: str) -> set[str]:
        """Return an operation and all operations that its result depends on."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current not in found:
                found.add(current)
                waiting += self.inputs(current)
        return found

    def constants(self, names: Iterable[str]) -> set[str]:
        """Return the constants (weights, factors) that operations take."""
        nodes = [value.get_node() for name in names for value in self.operations[name].input_values()]
        return {node.get_friendly_name() for node in nodes if node.get_type_name() == "Constant"}

    def find_types(self, types: Iterable[str]) -> set[str]:
        """Return the operations of the given OpenVINO types."""
        return {name for name, node in self.operations.items() if node.get_type_name() in set(types)}

    def find_global_addition(self) -> tuple[str, set[str]]:
        """Find the addition that joins the trunk and the skip connection.

        It is the last addition of two images that passed through different weighted layers. Later additions, which
        convert a color space to RGB, add planes that passed through the same ones.

        Returns:
            The addition, and all operations after it.

        Raises:
            UserError: there is none.
        """
        weights = self.find_types(WEIGHTED)
        for name in reversed(self.operations):
            inputs = self.inputs(name)
            if self.operations[name].get_type_name() != "Add" or len(inputs) != 2:
                continue
            first, second = (self.ancestors(side) & weights for side in inputs)
            if first != second:
                return name, self.operations.keys() - self.ancestors(name)
        raise _unsupported_graph("it has no addition of two images near its output")


def find_sensitive_operations(model: ov.Model) -> SensitiveOperations:
    """Find the operations that must stay in float, in a network of any of our architectures.

    All of them end in a global addition: of the features before and after the trunk (VapSR), or of the bicubic image
    and the residual (realtime). 8 bits in either operand, or in what follows, cost more than a decibel. In the trunk,
    additions and normalizations stay in float as well, and so does the last layer of a trunk that ends in an addition
    of features (not of pixels).

    Raises:
        UserError: the graph has another structure.
    """
    graph = IrGraph(model)
    addition, tail = graph.find_global_addition()
    sides = [graph.ancestors(side) for side in graph.inputs(addition)]
    weights = graph.find_types(WEIGHTED)
    short, trunk = sorted(sides, key=lambda side: len(side & weights))
    if not short & weights or not (trunk - short) & weights:
        raise _unsupported_graph(f"one side of its global addition {addition} has no weighted layer")
    full_precision = {addition, *tail, *short}
    ignored = set(full_precision)
    if tail & weights:  # features are added, then upsampled: pixels exist only after the last layer
        full_precision = tail - set[str]().union(*(graph.ancestors(name) for name in tail & weights))
        # The conversion of the input to a color space.
        full_precision |= {name for name in short if not graph.ancestors(name) & weights}
        ignored |= _find_last_layer(graph, addition, trunk - short)
    for name in trunk - short:
        if graph.operations[name].get_type_name() == "Add" and len(graph.inputs(name)) == 2:
            ignored.add(name)
    for name in graph.find_types(NORMALIZING):
        ignored |= _find_normalization(graph, name)
    return SensitiveOperations(
        frozenset(full_precision | graph.constants(full_precision)), frozenset(ignored)
    )


def find_sensitive_ends(model: ov.Model) -> SensitiveOperations:
    """Find the operations that must stay in float, in a network of an architecture that is not ours.

    All that comes before the first weighted layers or after the last ones computes in full precision: these operations
    carry pixels. These layers themselves are not quantized, and neither are sums of two images, normalizations and
    attention.

    Raises:
        UserError: the network has no weighted layers.
    """
    graph = IrGraph(model)
    layers = {name for name in graph.find_types(WEIGHTED) if len(graph.inputs(name)) == 1}
    before = {name: graph.ancestors(name) - {name} for name in graph.operations}
    first = {name for name in layers if not before[name] & layers}
    last = layers - set[str]().union(*(before[name] for name in layers))
    if not layers:
        raise _unsupported_graph("it has no weighted layers")
    after_last = graph.operations.keys() - layers - set[str]().union(*(before[name] for name in layers))
    full_precision = after_last | {
        name for name in graph.operations if name not in layers and not before[name] & layers
    }
    ignored = full_precision | first | last | graph.find_types({"Softmax"})
    ignored |= {name for name in graph.operations if len(graph.inputs(name)) > 1}
    for name in graph.find_types(NORMALIZING):
        ignored |= _find_normalization(graph, name)
    return SensitiveOperations(
        frozenset(full_precision | graph.constants(full_precision)), frozenset(ignored)
    )


def _find_last_layer(graph: IrGraph, addition: str, trunk: set[str]) -> set[str]:
    """Return the last weighted layer of the trunk, and the operations between it and the addition."""
    name = next(side for side in graph.inputs(addition) if side in trunk)
    found = {name}
    while graph.operations[name].get_type_name() not in WEIGHTED:
        name = graph.inputs(name)[0]
        found.add(name)
    return found


def _find_normalization(graph: IrGraph, name: str) -> set[str]:
    """Return a whole normalization: its inputs, and all operations up to the next weighted layer or addition."""
    found, waiting = {name}, graph.inputs(name)
    while waiting:
        current = waiting.pop()
        found.add(current)
        waiting += [
            other for other in graph.consumers(current) if other not in found and _is_local(graph, other)
        ]
    return found


def _is_local(graph: IrGraph, name: str) -> bool:
    """Return whether an operation can be part of a normalization: it has no weights and adds no two images."""
    kind = graph.operations[name].get_type_name()
    return kind not in WEIGHTED and not (kind == "Add" and len(graph.inputs(name)) == 2)


def _producers(node: ov.Node) -> list[str]:
    return [value.get_node().get_friendly_name() for value in node.input_values()]


def _unsupported_graph(problem: str) -> UserError:
    return UserError(
        f"The network cannot be exported to OpenVINO: {problem}",
        "Use the ONNX file, and report this with the model's preset",
    )
