"""Tidy an ONNX graph after export: name nodes by their modules, and remove traces of the machine.

Works on the protobuf only, and never changes what the graph computes.
"""

import ast
from collections import Counter

import onnx

WRAPPER = "network."
"""Prefix that the wrapper `to_onnx.ImageInterface` gives to the network's names; it is removed from all of them."""
_SCOPES = "pkg.torch.onnx.name_scopes"


def tidy(
    model: onnx.ModelProto, metadata: dict[str, str], sizes: dict[str, list[str | int]]
) -> onnx.ModelProto:
    """Return a copy of `model` whose bytes depend on the network only.

    Nodes are named `<module path>/<operator>` (core.layers.0/Conv); the second and later ones of a name get a number.
    Later stages can thus find a module's operations. Stack traces, paths, documentation and intermediate shapes are
    removed.

    Args:
        model: as torch's exporter returns it.
        metadata: becomes the `metadata_props` of the copy.
        sizes: the dimensions of each input and output: names or numbers.
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
    """Return the dotted path of the module that a node came from; "pixels" for nodes outside the network."""
    scopes = next((item.value for item in node.metadata_props if item.key == _SCOPES), "[]")
    modules = ast.literal_eval(scopes)[:-1]  # the last one is the operation itself
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
