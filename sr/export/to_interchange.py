"""Export a model directory to an ONNX file as other programs of the field take one: float NCHW, values 0 to 1.

vs-mlrt, chaiNNer, VapourSynth's filters and TensorRT set the sizes of such a graph by position and infer the shapes of
all tensors from them. So the graph has no operation whose result depends on a shape at run time: it is checked here.

One input `input`, [1,c,h,w], and one output `output`, [1,c,scale·h,scale·w]; both float32 or both float16. RGB is
gamma-coded as in sRGB; luma is 0 for black and 1 for white, whatever the range of the video.
"""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from data.atomic_files import read_json, write_bytes, write_json
from data.errors import UserError
from data.hashing import sha256_bytes
from sr.export.inference_rewrites import rewrite_for_inference
from sr.export.onnx_graph import tidy
from sr.export.parity import ImageBatch, Runner, compare_outputs, make_test_batches
from sr.export.reference import check_half, make_torch_runner
from sr.export.to_onnx import luma_metadata, trace
from sr.imaging.video_range import BLACK, SPAN
from sr.models.checkpoint import load_model
from sr.models.color_spaces import COLOR_SPACES
from sr.models.luma_interface import LumaInterface
from sr.models.metadata import ModelMetadata, from_model_json
from sr.models.network import SuperResolutionNetwork
from sr.models.realtime import BicubicUpscaling, Realtime
from sr.models.receptive_field import halo_px
from sr.runtime.onnx_runtime import onnxruntime

SCHEMA = 1
OPSET = 18
"""Read by every current runtime of these programs, and the oldest that torch's exporter writes."""
PRECISIONS = ("fp32", "fp16")
MAX_LEVEL_DIFFERENCE = {"fp32": 1, "fp16": 2}
"""Largest accepted difference from the network in torch, in levels of 255."""
_SHAPE_OPERATORS = {
    "Shape",
    "Size",
    "Reshape",
    "NonZero",
    "Expand",
    "ConstantOfShape",
    "Resize",
    "Loop",
    "If",
}
"""Operators that stop shape inference, or keep the size that the graph was traced with."""


class _StridedUnshuffle(nn.Module):
    """Pixel unshuffle as a strided convolution with weights of 0 and 1: torch exports its own as reshapes.

    The values are exact in float32 and float16.
    """

    def __init__(self, colors: int, side_px: int) -> None:
        """Make it for images of `colors` planes and cells of `side_px`."""
        super().__init__()
        cell = side_px**2
        self.colors, self.side_px = colors, side_px
        weight = torch.eye(cell).reshape(cell, 1, side_px, side_px).repeat(colors, 1, 1, 1)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        """[n,colors,h,w] to [n,k²·colors,h/k,w/k], the channels in the order of `pixel_unshuffle`."""
        return nn.functional.conv2d(image, self.weight, stride=self.side_px, groups=self.colors)


class _FixedUpscaling(nn.Module):
    """The bicubic upscaling with its weights divided: at x4 their denominator is more than float16 holds."""

    def __init__(self, upscaling: BicubicUpscaling) -> None:
        """Divide the weights of `upscaling`, which is not changed."""
        super().__init__()
        weight = upscaling.numerators.float() / upscaling.denominator
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, cells: Tensor) -> Tensor:
        """Upscale as `BicubicUpscaling` does."""
        return nn.functional.conv2d(cells, self.weight)


class InterchangeInterface(nn.Module):
    """Wraps a network so that it takes and returns floats, 0 to 1, NCHW."""

    def __init__(self, network: SuperResolutionNetwork | LumaInterface) -> None:
        """Wrap an RGB network, or the luma interface of one; its modules are shared."""
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Float [1,c,h,w], 0 to 1, to float [1,c,scale·h,scale·w]; RGB is clamped to 0 to 1."""
        if isinstance(self.network, LumaInterface):
            levels = self.network.core(image * (SPAN / 256) + BLACK / 256)
            luma: Tensor = (levels - BLACK / 256) * (256 / SPAN)
            return luma
        network, (darkest, brightest) = self.network, self.network.value_range
        span = brightest - darkest
        space = COLOR_SPACES[network.color_space]
        values = (network.core(space.from_rgb(image) * span + darkest) - darkest) / span
        return space.to_rgb(values).clamp(0.0, 1.0)


def export_interchange(
    model_dir: Path, out_dir: Path, planes: str = "rgb", precision: str = "fp32"
) -> dict[str, Any]:
    """Write model.onnx and, last, export.json. Equal models give equal bytes.

    Args:
        model_dir: with model.safetensors and model.json.
        out_dir: created if missing.
        planes: rgb, or luma for networks that work on luma only.
        precision: fp32; or fp16, of weights, input and output.

    Returns:
        The content of export.json.

    Raises:
        UserError: the network does not work on luma only, its graph needs shapes at run time, or it does not compute
            what the network computes.
    """
    loaded = load_model(model_dir).eval().float()
    check_half(loaded, precision)
    metadata = from_model_json(read_json(model_dir / "model.json"))
    metadata = dataclasses.replace(metadata, halo_px=halo_px(loaded.core), precision=precision, layout="NCHW")
    reference, interface = build_interface(loaded, planes)
    if planes == "luma":
        metadata = luma_metadata(metadata)
    graph = _trace(interface, metadata)
    if precision == "fp16":
        graph = _to_fp16(graph)
    _check_shapes(graph, metadata)
    content = graph.SerializeToString(deterministic=True)
    parity = _check(content, reference, metadata)
    write_bytes(out_dir / "model.onnx", content)
    record = _describe(metadata, content, parity)
    write_json(out_dir / "export.json", record)
    return record


def build_interface(
    loaded: SuperResolutionNetwork, planes: str = "rgb"
) -> tuple[nn.Module, InterchangeInterface]:
    """Return a network to compare with (uint8 NCHW in and out), and the same in floats, made of plain operations.

    Args:
        loaded: any network, in float32; not changed.
        planes: rgb, or luma for networks that work on luma only.

    Raises:
        UserError: the network does not work on luma only.
    """
    reference: nn.Module = loaded
    network: SuperResolutionNetwork | LumaInterface = rewrite_for_inference(loaded)
    if planes == "luma":
        reference, network = LumaInterface(loaded), LumaInterface(loaded)
    network = copy.deepcopy(network)
    if isinstance(network.core, Realtime):
        network.core.unshuffle = _StridedUnshuffle(network.core.colors, network.core.size_multiple)
        assert isinstance(network.core.upscaling, BicubicUpscaling)
        network.core.upscaling = _FixedUpscaling(network.core.upscaling)
    return reference, InterchangeInterface(network)


def _check(content: bytes, network: nn.Module, metadata: ModelMetadata) -> dict[str, Any]:
    """Compare the ONNX file with the network in torch; return the figures for export.json."""
    parity = compare_outputs(
        _make_runner(content, metadata),
        make_torch_runner(network),
        make_test_batches(metadata.size_multiple, metadata.channels),
    )
    bound = MAX_LEVEL_DIFFERENCE[metadata.precision]
    if parity.max_level_difference > bound:
        raise UserError(
            f"The ONNX file in {metadata.precision} differs from the network by up to {parity.max_level_difference} "
            f"levels; allowed are {bound}",
            "Export with --precision fp32"
            if metadata.precision == "fp16"
            else "Export with --signature native",
        )
    return {"against": "torch fp32", "bound_levels": bound, **dataclasses.asdict(parity)}


def _describe(metadata: ModelMetadata, content: bytes, parity: dict[str, Any]) -> dict[str, Any]:
    """Return the content of export.json."""
    kind = "float16" if metadata.precision == "fp16" else "float32"
    sizes = _tensor_sizes(metadata)
    return {
        "schema": SCHEMA,
        "format": "onnx",
        "signature": "interchange",
        "opset": OPSET,
        "metadata": _strings(metadata),
        **{name: {"name": name, "type": kind, "shape": shape} for name, shape in sizes.items()},
        "parity": parity,
        "files": {"model.onnx": {"bytes": len(content), "sha256": sha256_bytes(content)}},
    }


def _tensor_sizes(metadata: ModelMetadata) -> dict[str, list[str | int]]:
    scale, channels = metadata.scale, metadata.channels
    return {"input": [1, channels, "h", "w"], "output": [1, channels, f"{scale}*h", f"{scale}*w"]}


def _strings(metadata: ModelMetadata) -> dict[str, str]:
    """Return the metadata; its schema has a name of its own, since the file is not called as the others are."""
    strings = metadata.to_strings()
    return {"signature": "interchange", **{name: strings[name] for name in strings if name != "schema"}}


def _trace(interface: InterchangeInterface, metadata: ModelMetadata) -> onnx.ModelProto:
    multiple = metadata.size_multiple
    example = torch.zeros(1, metadata.channels, 16 * multiple, 24 * multiple)
    return tidy(
        trace(interface, example, {"image": {2: "h", 3: "w"}}, multiple, OPSET),
        _strings(metadata),
        _tensor_sizes(metadata),
    )


def _to_fp16(graph: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted: onnx.ModelProto = convert_float_to_float16(
        graph, keep_io_types=False, disable_shape_infer=True
    )
    return converted


def _check_shapes(graph: onnx.ModelProto, metadata: ModelMetadata) -> None:
    """Check that all shapes follow from those of the input, as the programs need that set them by position.

    Raises:
        UserError: an operation needs a shape at run time.
    """
    constants = {item.name for item in graph.graph.initializer}
    found = {
        node.op_type
        for node in graph.graph.node
        # Scaling by fixed factors is as good as a pixel shuffle; scaling to a computed size is not.
        if node.op_type != "Resize" or not all(name in constants for name in node.input[1:] if name)
    }
    if dynamic := sorted(_SHAPE_OPERATORS & found):
        message = (
            f"The graph of this network has {', '.join(dynamic)}, whose results depend on shapes at run time"
        )
        raise UserError(message, "Export with --signature native")
    onnx.checker.check_model(
        set_sizes(graph, 32 * metadata.size_multiple, 48 * metadata.size_multiple), full_check=True
    )


def set_sizes(graph: onnx.ModelProto, height: int, width: int) -> onnx.ModelProto:
    """Return a copy with a fixed input size and the shapes of all tensors, as vs-mlrt makes it.

    Args:
        graph: float NCHW in and out.
        height: of the input.
        width: of the input.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(graph)
    for place, size in ((0, 1), (2, height), (3, width)):
        fixed.graph.input[0].type.tensor_type.shape.dim[place].dim_value = size
    fixed.graph.output[0].type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(fixed, check_type=True, strict_mode=True)


def _make_runner(content: bytes, metadata: ModelMetadata) -> Runner:
    """Return a function that runs the file on uint8 NHWC, one image after the other."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    kind = np.float16 if metadata.precision == "fp16" else np.float32
    black, span = (BLACK, SPAN) if metadata.color == "luma" else (0, 255)

    def run(lr_image: ImageBatch) -> ImageBatch:
        values = ((lr_image.transpose(0, 3, 1, 2).astype(np.float32) - black) / span).astype(kind)
        outputs = [session.run(["output"], {"input": one[None]})[0] for one in values]
        levels = np.concatenate(outputs).astype(np.float32) * span + black
        hr_image: ImageBatch = levels.round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
        return hr_image

    return run
