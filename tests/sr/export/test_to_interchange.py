"""ONNX files for other programs: loaded as these load them, and read back by this one."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from images import textured
from safetensors.torch import save_file

from data.errors import UserError
from sr.evaluation.cost import count_gmacs
from sr.export.to_interchange import export_interchange, set_sizes
from sr.models.checkpoint import export_checkpoint, load_model
from sr.models.luma_interface import LumaInterface
from sr.models.presets import IN_256THS, ModelDescription
from sr.models.registry import build_network
from sr.runtime.load import load_upscaler
from sr.runtime.network_upscalers import ForeignOnnxUpscaler, TorchUpscaler

CASES = [
    ("realtime", "rgb", "fp32"),
    ("realtime", "rgb", "fp16"),
    ("vapsr", "rgb", "fp16"),
    ("luma", "luma", "fp32"),
]


@pytest.fixture(scope="module")
def exported(request, tmp_path_factory):
    """Return a function that exports a model once, and returns the path of the ONNX file."""
    root, made = tmp_path_factory.mktemp("interchange"), {}

    def export(model, planes, precision):
        path = root / model / planes / precision
        if path not in made:
            made[path] = export_interchange(request.getfixturevalue(f"{model}_dir"), path, planes, precision)
        return path / "model.onnx"

    return export


@pytest.mark.parametrize(("model", "planes", "precision"), CASES)
def test_sizes_are_set_by_position_and_all_shapes_follow(model, planes, precision, exported):
    """vs-mlrt writes N, H and W over dimensions 0, 2 and 3 and infers the rest; chaiNNer pads to multiples of 16."""
    graph = onnx.load(exported(model, planes, precision))
    channels = 1 if planes == "luma" else 3
    fixed = set_sizes(graph, 48, 80)
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*fixed.graph.value_info, *fixed.graph.output)
    }
    made = {name for node in fixed.graph.node for name in node.output}
    assert made <= set(shapes) and all(min(shape, default=1) > 0 for shape in shapes.values())
    assert shapes["output"] == [1, channels, 96, 160]
    kinds = {value.type.tensor_type.elem_type for value in (*graph.graph.input, *graph.graph.output)}
    assert kinds == {onnx.TensorProto.FLOAT if precision == "fp32" else onnx.TensorProto.FLOAT16}
    operators = {node.op_type for node in graph.graph.node}
    assert "DepthToSpace" in operators and not operators & {"Reshape", "Shape", "Resize", "Cast"}
    session = onnxruntime.InferenceSession(fixed.SerializeToString())
    values = np.random.default_rng(0).random((1, channels, 48, 80), np.float32)
    values = values.astype(np.float32 if precision == "fp32" else np.float16)
    assert session.run(None, {"input": values})[0].shape == (1, channels, 96, 160)


def as_chainner(path, lr_image):
    """Run a file as chaiNNer and vs-mlrt do: floats, padded to multiples of 16, sizes set by position, cropped."""
    height, width, channels = lr_image.shape
    padded = np.pad(lr_image, ((0, -height % 16), (0, -width % 16), (0, 0)), mode="edge")
    graph = onnx.load(path)
    kind = onnx.helper.tensor_dtype_to_np_dtype(graph.graph.input[0].type.tensor_type.elem_type)
    session = onnxruntime.InferenceSession(set_sizes(graph, *padded.shape[:2]).SerializeToString())
    black, span = (16, 219) if channels == 1 else (0, 255)
    values = ((padded.astype(np.float32) - black) / span).astype(kind).transpose(2, 0, 1)[None]
    (output,) = session.run(None, {session.get_inputs()[0].name: values})
    scale = output.shape[2] // padded.shape[0]
    hr_image = output[0].transpose(1, 2, 0).astype(np.float32)[: height * scale, : width * scale]
    return (hr_image * span + black).round().clip(0, 255).astype(int)


@pytest.mark.parametrize(
    ("scale", "planes", "precision"),
    [
        *((2, "luma", "fp16"), (3, "rgb", "fp32"), (3, "luma", "fp16")),
        *((4, "rgb", "fp16"), (4, "luma", "fp32")),
    ],
)
def test_loaded_as_other_programs_do_it_equals_our_image(scale, planes, precision, tmp_path):
    """Sides are odd: padded to 16 there, to 2 here. Together with the cases above: each scale, planes and precision."""
    sizes = {"scale": scale, "layers": 2, "channels": 4, "planes": 1 if planes == "luma" else 3}
    network = build_network(ModelDescription("realtime", sizes, IN_256THS))
    stream = torch.Generator().manual_seed(scale)
    weights = {
        name: torch.randn(value.shape, generator=stream) * 0.05
        for name, value in network.core.state_dict().items()
    }
    save_file(weights, tmp_path / "net.safetensors")
    export_checkpoint(tmp_path / "net.safetensors", tmp_path / "model")
    export_interchange(tmp_path / "model", tmp_path, planes, precision)
    lr_image = textured(scale, 37, 53)
    ours = load_upscaler(tmp_path / "model")(lr_image)
    if planes == "luma":
        lr_image = np.ascontiguousarray(lr_image[..., :1])
        padded = torch.from_numpy(np.pad(lr_image[..., 0], ((0, 1), (0, 1)), mode="edge"))[None, None]
        ours = LumaInterface(load_model(tmp_path / "model"))(padded)[
            0, 0, : 37 * scale, : 53 * scale, None
        ].numpy()
    theirs = as_chainner(tmp_path / "model.onnx", lr_image)
    # Beyond 16 pixels of padding nothing differs; at the right and bottom edge the padding itself is seen.
    kept = (slice(None, -8 * scale), slice(None, -8 * scale))
    assert theirs.shape == ours.shape and np.abs(theirs - ours)[kept].max() <= 1


@pytest.mark.parametrize(("model", "precision"), [("realtime", "fp32"), ("vapsr", "fp16")])
def test_read_back_it_gives_the_networks_image(model, precision, exported, request):
    upscaler = load_upscaler(exported(model, "rgb", precision))
    assert isinstance(upscaler, ForeignOnnxUpscaler) and upscaler.scale == 2
    torch_upscaler = TorchUpscaler(request.getfixturevalue(f"{model}_dir"))
    lr_image = textured(3, 37, 53)  # odd: padded and cropped
    expected = torch_upscaler(lr_image).astype(int)
    assert np.abs(upscaler(lr_image) - expected).max() <= (1 if precision == "fp32" else 2)
    upscaler.tile_px = 128
    large = textured(4, 200, 150)
    assert np.abs(upscaler(large) - torch_upscaler(large).astype(int)).max() <= 2
    assert count_gmacs(upscaler) == pytest.approx(count_gmacs(torch_upscaler), rel=0.35)


def test_luma_is_0_to_1_from_black_to_white(exported, luma_onnx):
    upscaler, native = load_upscaler(exported("luma", "luma", "fp32")), load_upscaler(luma_onnx)
    assert upscaler.color == "luma"
    for lr_image in (textured(5, 40, 60), textured(6, 31, 18)[..., :1]):
        assert np.abs(upscaler(lr_image) - native(lr_image).astype(int)).max() <= 1


def test_equal_models_give_equal_bytes_and_metadata(exported, realtime_dir, tmp_path):
    path = exported("realtime", "rgb", "fp16")
    record = export_interchange(realtime_dir, tmp_path, "rgb", "fp16")
    assert (tmp_path / "model.onnx").read_bytes() == path.read_bytes()
    assert json.loads((tmp_path / "export.json").read_text()) == record
    assert record["input"] == {"name": "input", "type": "float16", "shape": [1, 3, "h", "w"]}
    props = {item.key: item.value for item in onnx.load(path).metadata_props}
    assert props == record["metadata"] and props["signature"] == "interchange"


def peer(kind=onnx.TensorProto.FLOAT, shape=("n", 3, "h", "w"), operators=(), scale=2.0):
    """Return the bytes of a graph as other programs write them: nearest-neighbor upscaling."""
    helper = onnx.helper
    sizes = [1.0] * 4
    for axis in (1, 2) if shape[3] == 3 else (2, 3):
        sizes[axis] = scale
    nodes = [
        helper.make_node(
            "Resize",
            ["x", "", "sizes"],
            ["r"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        *(operators or [helper.make_node("Identity", ["r"], ["y"])]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array(sizes, np.float32), "sizes"),
        onnx.numpy_helper.from_array(np.array(255, helper.tensor_dtype_to_np_dtype(kind)), "white"),
    ]
    values = [helper.make_tensor_value_info(name, kind, size) for name, size in (("x", shape), ("y", None))]
    graph = helper.make_graph(nodes, "peer", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=8).SerializeToString()


@pytest.mark.parametrize("kind", [onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16])
@pytest.mark.parametrize("shape", [("n", 3, "h", "w"), (1, 3, 64, 32), ("n", "h", "w", 3)])
def test_files_of_other_programs_are_recognized_by_their_signature(kind, shape, tmp_path):
    (tmp_path / "peer.onnx").write_bytes(peer(kind, shape, scale=3.0))
    upscaler = load_upscaler(tmp_path / "peer.onnx")
    assert (upscaler.scale, upscaler.color, upscaler.name) == (3, "rgb", "peer onnx")
    height, width = upscaler.fixed_size or (21, 33)
    lr_image = textured(1, height, width)
    assert np.abs(upscaler(lr_image) - lr_image.repeat(3, 0).repeat(3, 1).astype(int)).max() == 0
    if upscaler.fixed_size:
        with pytest.raises(UserError, match="accepts only images of 64x32"):
            upscaler(lr_image[1:])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            peer(operators=[onnx.helper.make_node("Mul", ["r", "white"], ["y"])]),
            "into 127.5, so its values are not 0 to 1",
        ),
        (peer(scale=1.5), "upscales by a whole number"),
        (peer(shape=("n", 4, "h", "w")), "graphs of one image are run"),
        (
            peer(operators=[onnx.helper.make_node("ReduceMean", ["r"], ["y"], keepdims=0)]),
            "turns an image of 64x64",
        ),
    ],
)
def test_what_cannot_be_called_that_way_is_refused_in_words(content, words, tmp_path):
    (tmp_path / "peer.onnx").write_bytes(content)
    with pytest.raises(UserError, match=words):
        load_upscaler(tmp_path / "peer.onnx")
