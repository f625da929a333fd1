"""Write small ONNX files that score images."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper


def save_network(
    path: Path,
    shape: Sequence[int | str] = ("n", 3, "h", "w"),
    axes: Sequence[int] = (1, 2, 3),
    element: int = TensorProto.FLOAT,
) -> Path:
    """Write an ONNX file that gives the mean over some axes."""
    mean = helper.make_node("ReduceMean", ["x"], ["y"], axes=list(axes), keepdims=0)
    rest = [size for place, size in enumerate(shape) if place not in axes]
    graph = helper.make_graph(
        [mean],
        "mean",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info("y", element, rest)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path
