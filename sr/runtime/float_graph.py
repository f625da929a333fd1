"""Change an exported graph from uint8 to float32 images, for inputs of more than 8 bits.

The file stays as it is; the graph is changed in memory, and only at its ends: the type of the input, the rounding and
the conversion to uint8. Layers, weights and quantizers are those of the file.
"""

from typing import TYPE_CHECKING

from data.errors import UserError

if TYPE_CHECKING:
    import onnx

    from sr.runtime.openvino_runtime import openvino

_TAIL_OPENVINO = frozenset(
    {"Convert", "Clamp", "Minimum", "Maximum", "Transpose", "Reshape", "DepthToSpace", "Round"}
)
_TAIL_ONNX = frozenset({"Cast", "Clip", "Min", "Max", "Transpose", "Reshape", "DepthToSpace", "Round"})
"""Operations that may stand between the last computation and the output: they move, clamp or convert values."""


def openvino_to_float(model: "openvino.Model", path: str) -> "openvino.Model":
    """Make an OpenVINO model take and return float32 levels, 0 to 255; clamped, not rounded.

    Args:
        model: uint8 in and out, exported by this project; changed in place.
        path: the file, for the error.

    Returns:
        The same model.

    Raises:
        UserError: the graph does not end in a rounding.
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
        raise _no_rounding_error(node.get_type_name(), path)
    for skipped in (conversion, rounding):
        for consumer in skipped.output(0).get_target_inputs():
            consumer.replace_source_output(skipped.input_value(0))
    model.get_parameters()[0].set_element_type(ov.Type.f32)
    result = model.get_results()[0].input_value(0)
    result.get_tensor().set_names({"output"})
    model.validate_nodes_and_infer_types()
    return model


def onnx_to_float(model: "onnx.ModelProto", path: str) -> "onnx.ModelProto":
    """Make an ONNX model take and return float32 levels, 0 to 255; clamped, not rounded.

    Args:
        model: uint8 in and out, exported by this project; changed in place.
        path: the file, for the error.

    Returns:
        The same model.

    Raises:
        UserError: the graph does not end in a rounding.
    """
    import onnx

    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    node, rounding = producers.get(graph.output[0].name), None
    while node is not None and node.op_type in _TAIL_ONNX:
        if node.op_type == "Cast":
            node.attribute[0].i = onnx.TensorProto.FLOAT
        if node.op_type == "Round":
            rounding = node
            break
        node = producers.get(node.input[0])
    if rounding is None:
        raise _no_rounding_error(node.op_type if node is not None else "nothing", path)
    rounding.op_type = "Identity"
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return model


def _no_rounding_error(last: str, path: str) -> UserError:
    return UserError(
        f"{path} cannot upscale more than 8 bits: its graph ends in {last}, not in a rounding",
        "Export the model again",
    )
