"""Export a model directory to model.onnx: uint8 RGB or luma in and out, any batch size, height and width.

The file needs nothing beside it. It computes what the network computes: a difference of more than one level in any
pixel fails the export. int8 is made in `sr.export.to_openvino`.
"""

import dataclasses
import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from data.atomic_files import read_json, write_bytes, write_json
from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.hashing import sha256_bytes
from sr.export.accuracy import MAX_LEVEL_DIFFERENCE, check_parity, check_photographs
from sr.export.inference_rewrites import rewrite_for_inference
from sr.export.onnx_graph import tidy
from sr.export.reference import make_onnx_runner, make_torch_runner
from sr.models.checkpoint import load_model
from sr.models.luma_interface import LumaInterface
from sr.models.metadata import ModelMetadata, from_model_json
from sr.models.network import SuperResolutionNetwork
from sr.models.receptive_field import halo_px

SCHEMA = 2
PLANES = ("rgb", "luma")
_LUMA_VALUE_RANGE = "0,0.99609375"
"""The values of levels 0 and 255 inside a luma network: 256ths."""
OPSET = 20


class ImageInterface(nn.Module):
    """Wraps a network so that it takes and returns uint8 NHWC, as programs hold images."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap `network` (uint8 NCHW in and out, any number of channels)."""
        super().__init__()
        self.network = network

    def forward(self, lr_image: Tensor) -> Tensor:
        """uint8 [n,h,w,c] to uint8 [n,scale·h,scale·w,c]."""
        hr_image: Tensor = self.network(lr_image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return hr_image


def export_onnx(model_dir: Path, out_dir: Path, planes: str = "rgb") -> dict[str, Any]:
    """Write model.onnx and, last, export.json. Equal models give equal bytes.

    The input is uint8 NHWC, RGB or luma; height and width are multiples of `size_multiple`. The output is the same,
    `scale` times taller and wider, rounded and clamped. The file contains its metadata (`sr.models.metadata`).

    Args:
        model_dir: with model.safetensors and model.json.
        out_dir: created if missing.
        planes: rgb; or luma, as video stores it (see `sr.models.luma_interface`), for networks that work on luma only.

    Returns:
        The content of export.json.

    Raises:
        UserError: `planes` is unknown, the network does not work on luma only, or the graph does not compute what the
            network computes.
    """
    if planes not in PLANES:
        raise UserError(f"Cannot export planes {planes!r}", f"Choose one of: {', '.join(PLANES)}")
    loaded = load_model(model_dir).eval().float()
    is_luma = planes == "luma"
    reference_network: nn.Module = LumaInterface(loaded) if is_luma else loaded
    exported_network = reference_network if is_luma else rewrite_for_inference(loaded)
    metadata = from_model_json(read_json(model_dir / "model.json"))
    metadata = dataclasses.replace(metadata, halo_px=halo_px(loaded.core))
    if is_luma:
        metadata = luma_metadata(metadata)
    content = _trace(ImageInterface(exported_network), metadata).SerializeToString(deterministic=True)
    onnx.checker.check_model(content, full_check=True)
    accuracy = _check(content, reference_network, metadata)
    write_bytes(out_dir / "model.onnx", content)
    record = describe_onnx(metadata, accuracy, content)
    write_json(out_dir / "export.json", record)
    return record


def luma_metadata(metadata: ModelMetadata) -> ModelMetadata:
    """Return the metadata of a network's luma graph."""
    return dataclasses.replace(metadata, color="luma", value_range=_LUMA_VALUE_RANGE)


def _check(content: bytes, network: nn.Module, metadata: ModelMetadata) -> dict[str, Any]:
    """Compare the ONNX file with the network; return the figures for export.json."""
    run, reference = make_onnx_runner(content), make_torch_runner(network)
    parity = check_parity(run, reference, metadata)
    photographs = check_photographs(run, reference, metadata)
    return {
        "parity": {
            "against": "torch fp32",
            "bound_levels": MAX_LEVEL_DIFFERENCE,
            **dataclasses.asdict(parity),
        },
        "photographs": dataclasses.asdict(photographs),
    }


def describe_onnx(metadata: ModelMetadata, accuracy: dict[str, Any], content: bytes) -> dict[str, Any]:
    """Return the content of export.json."""
    sizes = _tensor_sizes(metadata)
    return {
        "schema": SCHEMA,
        "format": "onnx",
        "opset": OPSET,
        "metadata": metadata.to_strings(),
        **{name: {"name": name, "type": "uint8", "shape": shape} for name, shape in sizes.items()},
        **accuracy,
        "files": {"model.onnx": {"bytes": len(content), "sha256": sha256_bytes(content)}},
    }


def _tensor_sizes(metadata: ModelMetadata) -> dict[str, list[str | int]]:
    scale, channels = metadata.scale, metadata.channels
    return {"input": ["n", "h", "w", channels], "output": ["n", f"{scale}*h", f"{scale}*w", channels]}


def trace_original_graph(network: SuperResolutionNetwork, metadata: ModelMetadata) -> onnx.ModelProto:
    """Return the network's graph without the rewrites for inference, as a reference for benchmarks."""
    return _trace(ImageInterface(network.eval().float()), metadata)


def _trace(interface: ImageInterface, metadata: ModelMetadata) -> onnx.ModelProto:
    multiple = metadata.size_multiple
    example = torch.zeros(2, 16 * multiple, 24 * multiple, metadata.channels, dtype=torch.uint8)
    graph = trace(interface, example, {"lr_image": {0: "n", 1: "h", 2: "w"}}, multiple, OPSET)
    return tidy(graph, metadata.to_strings(), _tensor_sizes(metadata))


def trace(
    interface: nn.Module, example: Tensor, dynamic: dict[str, dict[int, str]], multiple: int, opset: int
) -> onnx.ModelProto:
    """Trace a module with torch's exporter.

    Args:
        interface: takes one tensor.
        example: an input; its sides are multiples of `multiple`.
        dynamic: for the argument of `forward`, which axes are of any size: n, h or w.
        multiple: h and w are multiples of it.
        opset: of the graph.
    """
    # torch refuses 1 * Dim, so a multiple of 1 must stay a plain dimension.
    axes = {
        argument: {
            axis: torch.export.Dim(name)
            if name == "n" or multiple == 1
            else multiple * torch.export.Dim(name)
            for axis, name in names.items()
        }
        for argument, names in dynamic.items()
    }
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        # The exporter warns that torchvision is missing, which is not needed.
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                interface.eval(),
                (example,),
                dynamo=True,
                opset_version=opset,
                input_names=["input"],
                output_names=["output"],
                dynamic_shapes=axes,
                verbose=False,
            )
        except Exception as error:  # whatever a network of others does that has no place in a graph
            raise_if_exhausted(error)
            raise _explain_failure(error) from error
    assert program is not None  # with dynamo=True, it never is
    return program.model_proto


def _explain_failure(error: Exception) -> UserError:
    """Return the error for a network that torch's exporter cannot trace; the first cause says why."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    words = " ".join(str(cause).split())[:300] or type(cause).__name__
    return UserError(
        f"The network cannot be exported to ONNX for images of any size: {words}",
        "EvaluateModel runs the weights themselves, in torch",
    )
