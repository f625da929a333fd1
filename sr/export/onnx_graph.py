"""Tidying an ONNX graph after export: nodes named by their modules, nothing of the machine that made it left
inside.

Works on the protobuf alone and never changes what the graph computes.
"""

import ast
from collections import Counter

import onnx

WRAPPER = "network."
"""The attribute under which the exporter's wrapper holds the network; cut from every name."""
_SCOPES = "pkg.torch.onnx.name_scopes"


def tidy(
    model: onnx.ModelProto, metadata: dict[str, str], sizes: dict[str, list[str | int]]
) -> onnx.ModelProto:
    """A copy of `model` whose bytes depend on the network alone.

    Nodes are named `<module path>/<operator>` (core.layers.0/Conv), with a number from the second of a kind
    on, so that later stages can find a module's operations. Stack traces, paths, documentation and
    intermediate shapes are left out.

    Args:
        model: fresh from torch's exporter, with its metadata.
        metadata: the model's `metadata_props` afterward.
        sizes: for each input and output, its dimensions: names or numbers.
    """
    tidied = onnx.ModelProto()
    tidied.CopyFrom(model)
    graph = tidied.graph
    _rename_nodes(graph)
    _rename_initializers(graph)
    for item in (tidied, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    graph.ClearField("value_info")
    graph.name = "upsampling"
    for value in (*graph.input, *graph.output):
        _set_sizes(value, sizes[value.name])
    onnx.helper.set_model_props(tidied, metadata)
    return tidied


def _rename_nodes(graph: onnx.GraphProto) -> None:
    seen: Counter[str] = Counter()
    for node in graph.node:
        name = f"{_module_path(node)}/{node.op_type}"
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def _module_path(node: onnx.NodeProto) -> str:
    """The dotted path of the module that the node came from; "pixels" for what stands around the network."""
    scopes = next((item.value for item in node.metadata_props if item.key == _SCOPES), "[]")
    modules = ast.literal_eval(scopes)[:-1]  # the last is the operation itself
    path = modules[-1] if modules else ""
    return path.removeprefix(WRAPPER) if path.startswith(WRAPPER) else "pixels"


def _rename_initializers(graph: onnx.GraphProto) -> None:
    renamed = {item.name: item.name.removeprefix(WRAPPER) for item in graph.initializer}
    for item in graph.initializer:
        item.name = renamed[item.name]
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]


def _set_sizes(value: onnx.ValueInfoProto, sizes: list[str | int]) -> None:
    for dimension, size in zip(value.type.tensor_type.shape.dim, sizes, strict=True):
        if isinstance(size, int):
            dimension.dim_value = size
        else:
            dimension.dim_param = size
