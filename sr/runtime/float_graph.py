"""An exported graph with fractional levels: float32 images of levels 0 to 255 in and out, where the file has bytes.

The file stays as it is: the graph is changed in memory. Only the ends are touched: the input's type, the rounding and
the conversion to bytes; the layers, their weights and, in an int8 file, their quantizers are those of the file.
"""

from typing import Any

from data.errors import UserError

_TAIL_OPENVINO = frozenset(
    {"Convert", "Clamp", "Minimum", "Maximum", "Transpose", "Reshape", "DepthToSpace", "Round"}
)
_TAIL_ONNX = frozenset({"Cast", "Clip", "Min", "Max", "Transpose", "Reshape", "DepthToSpace", "Round"})
"""What may stand between a graph's last computation and its output: it moves, bounds or converts values."""


def openvino_levels(model: Any, where: str) -> Any:
    """Take an openvino.Model of ours from bytes to fractional levels; clamped to 0 to 255, not rounded.

    Args:
        model: uint8 in and out; changed in place.
        where: the file, for the error.

    Returns:
        The same model, float32 in and out.

    Raises:
        UserError: it does not end in a rounding.
    """
    from sr.runtime.openvino_runtime import openvino as ov

    node, rounding, conversion = model.get_results()[0].input_value(0).get_node(), None, None
    while node.get_type_name() in _TAIL_OPENVINO:
        conversion = node if node.get_element_type() == ov.Type.u8 else conversion
        if node.get_type_name() == "Round":
            rounding = node
            break
        node = node.input_value(0).get_node()
    if rounding is None or conversion is None:
        raise _unrounded(node.get_type_name(), where)
    for passed in (conversion, rounding):
        for consumer in passed.output(0).get_target_inputs():
            consumer.replace_source_output(passed.input_value(0))
    model.get_parameters()[0].set_element_type(ov.Type.f32)
    result = model.get_results()[0].input_value(0)
    result.get_tensor().set_names({"output"})
    model.validate_nodes_and_infer_types()
    return model


def onnx_levels(model: Any, where: str) -> Any:
    """Take an onnx.ModelProto of ours from bytes to fractional levels; clamped to 0 to 255, not rounded.

    Args:
        model: uint8 in and out; changed in place.
        where: the file, for the error.

    Returns:
        The same model, float32 in and out.

    Raises:
        UserError: it does not end in a rounding.
    """
    import onnx

    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    node, rounding = made_by.get(graph.output[0].name), None
    while node is not None and node.op_type in _TAIL_ONNX:
        if node.op_type == "Cast":
            node.attribute[0].i = onnx.TensorProto.FLOAT
        if node.op_type == "Round":
            rounding = node
            break
        node = made_by.get(node.input[0])
    if rounding is None:
        raise _unrounded(node.op_type if node is not None else "nothing", where)
    rounding.op_type = "Identity"
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return model


def _unrounded(found: str, where: str) -> UserError:
    return UserError(
        "a graph that ends in a rounding to levels",
        f"one that ends in {found}",
        where,
        "export the model again",
    )
