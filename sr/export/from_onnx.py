"""Make our model.onnx of an ONNX file of another program: uint8 in and out, with metadata, ready to become an IR.

The graph stays as it is; conversions from and to bytes are put before and after it.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from data.atomic_files import write_bytes, write_json
from data.errors import UserError
from data.hashing import sha256_file
from sr.export.parity import ImageBatch, Runner, compare_outputs, make_test_batches
from sr.export.reference import make_onnx_runner
from sr.export.to_onnx import describe_onnx
from sr.imaging.video_range import BLACK, SPAN
from sr.models.metadata import ModelMetadata
from sr.runtime.foreign_graph import ForeignGraph, recognize_graph
from sr.runtime.model_files import open_session

ARCHITECTURE = "onnx"
"""The architecture in the metadata: a graph does not tell it."""
MAX_LEVEL_DIFFERENCE = 1
_OLDEST_OPSET = 11
"""The first in which Round exists and Clip takes its bounds as inputs."""
_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
_Step = tuple[str, list[str], dict[str, Any]]
"""An operator, the names of its constants after the first input, and its attributes."""


def import_onnx(path: Path, out_dir: Path, license: str = "unknown") -> dict[str, Any]:
    """Write model.onnx and, last, export.json. Equal files give equal bytes.

    Args:
        path: an ONNX file that takes and gives one image of floats, 0 to 1 (see `sr.runtime.foreign_graph`).
        out_dir: created if missing.
        license: of the weights, by its usual short name.

    Returns:
        The content of export.json.

    Raises:
        UserError: it is another kind of graph, takes images of one size only, is too old, or computes something else
            with the conversions around it.
    """
    session = open_session(path)
    graph = recognize_graph(session, session.get_modelmeta().custom_metadata_map, path)
    if graph.fixed_size:
        height, width = graph.fixed_size
        message = f"{path} takes images of {height}x{width} only (height x width)"
        raise UserError(message, "Export it there with free height and width, or run it as it is")
    metadata = ModelMetadata(
        scale=graph.scale,
        size_multiple=graph.size_multiple,
        color="luma" if graph.channels == 1 else "rgb",
        value_range="0,1",
        preset=path.stem,
        architecture=ARCHITECTURE,
        weights_sha256=sha256_file(path),
        license=license,
        halo_px=graph.halo_px,
    )
    content = _wrap(_load(path), graph, metadata).SerializeToString(deterministic=True)
    parity = _check(content, session, graph, path)
    write_bytes(out_dir / "model.onnx", content)
    record = describe_onnx(metadata, {"parity": parity}, content)
    write_json(out_dir / "export.json", record)
    return record


def _load(path: Path) -> onnx.ModelProto:
    """Load a file whose operators are new enough.

    Raises:
        UserError: they are not.
    """
    model = onnx.load(path)
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)
    if opset < _OLDEST_OPSET:
        message = f"{path} has opset {opset}, but {_OLDEST_OPSET} is the oldest that is taken"
        raise UserError(message, "Export it there with opset 17")
    return model


def _wrap(model: onnx.ModelProto, graph: ForeignGraph, metadata: ModelMetadata) -> onnx.ModelProto:
    """Put the conversions before and after a graph."""
    wrapped = onnx.compose.add_prefix(model, "core.")
    inner = wrapped.graph
    source, result = inner.input[0].name, inner.output[0].name
    before, after = _write_conversions(graph, source, result)
    nodes = [*before, *inner.node, *after]
    del inner.node[:]
    inner.node.extend(nodes)
    inner.initializer.extend(_write_constants(graph))
    scale, channels = metadata.scale, metadata.channels
    ends: dict[str, list[str | int | None]] = {
        "input": ["n", "h", "w", channels],
        "output": ["n", f"{scale}*h", f"{scale}*w", channels],
    }
    for values, name in ((inner.input, "input"), (inner.output, "output")):
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, ends[name])
        del values[:]
        values.append(value)
    inner.ClearField("value_info")  # it may hold the sizes that the graph was traced with
    inner.name = "upsampling"
    onnx.helper.set_model_props(wrapped, metadata.to_strings())
    return wrapped


def _write_constants(graph: ForeignGraph) -> list[onnx.TensorProto]:
    black, span = (BLACK, SPAN) if graph.channels == 1 else (0, 255)
    values = {"black": black, "span": span, "darkest": 0, "brightest": 255}
    return [
        onnx.numpy_helper.from_array(np.array(value, np.float32), f"pixels/{name}")
        for name, value in values.items()
    ]


def _write_conversions(
    graph: ForeignGraph, source: str, result: str
) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """Return the nodes from "input" to `source`, and from `result` to "output"."""
    kind = onnx.TensorProto.FLOAT16 if graph.dtype is np.float16 else onnx.TensorProto.FLOAT
    single = onnx.TensorProto.FLOAT
    to_planes: list[_Step] = [] if graph.is_nhwc else [("Transpose", [], {"perm": _TO_NCHW})]
    from_planes: list[_Step] = [] if graph.is_nhwc else [("Transpose", [], {"perm": _TO_NHWC})]
    before: list[_Step] = [
        *(("Cast", [], {"to": single}), ("Sub", ["black"], {}), ("Div", ["span"], {})),
        *to_planes,
        ("Cast", [], {"to": kind}),
    ]
    after: list[_Step] = [
        ("Cast", [], {"to": single}),
        *from_planes,
        *(("Mul", ["span"], {}), ("Add", ["black"], {}), ("Round", [], {})),
        ("Clip", ["darkest", "brightest"], {}),
        ("Cast", [], {"to": onnx.TensorProto.UINT8}),
    ]
    return _chain("input", source, before), _chain(result, "output", after)


def _chain(first: str, last: str, steps: Sequence[_Step]) -> list[onnx.NodeProto]:
    """Return nodes that each take the result of the one before, from the value `first` to the value `last`."""
    nodes, value = [], first
    for place, (operator, constants, attributes) in enumerate(steps):
        made = last if place == len(steps) - 1 else f"pixels/{first}_{place}"
        inputs = [value, *(f"pixels/{name}" for name in constants)]
        nodes.append(
            onnx.helper.make_node(operator, inputs, [made], f"pixels/{made}/{operator}", **attributes)
        )
        value = made
    return nodes


def _check(content: bytes, session: Any, graph: ForeignGraph, path: Path) -> dict[str, Any]:
    """Compare the file with the graph that it was made of, and try it on several images at once.

    Raises:
        UserError: they differ, or the graph takes one image at a time.
    """

    def reference(lr_image: ImageBatch) -> ImageBatch:
        outputs = [session.run(None, {graph.name: graph.to_input(image[None])})[0] for image in lr_image]
        hr_image: ImageBatch = np.rint(graph.to_levels(np.concatenate(outputs))).astype(np.uint8)
        return hr_image

    run: Runner = make_onnx_runner(content)
    try:
        parity = compare_outputs(run, reference, make_test_batches(graph.size_multiple, graph.channels))
    except Exception as error:  # onnxruntime's errors share no other base class
        words = " ".join(str(error).split())[:200]
        message = f"{path} does not take several images, or images of several sizes: {words}"
        raise UserError(message, "Export it there with free batch, height and width") from None
    if parity.max_level_difference > MAX_LEVEL_DIFFERENCE:
        difference = parity.max_level_difference
        raise UserError(f"{path} gives images that differ by {difference} levels when it is given bytes")
    return {
        "against": path.name,
        "bound_levels": MAX_LEVEL_DIFFERENCE,
        **dataclasses.asdict(parity),
    }
