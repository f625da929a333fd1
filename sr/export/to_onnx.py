"""From a model directory to model.onnx: uint8 images or planes of luma in and out, any batch, height and
width, nothing needed beside it.

The graph computes what the network computes; a difference of more than one level in any pixel fails the
export. Never changes weights, never quantizes (see sr.export.to_openvino).
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
from data.hashing import sha256_bytes
from sr.export.accuracy import LARGEST_DIFFERENCE, check_parity, check_photographs
from sr.export.inference_rewrites import to_export
from sr.export.onnx_graph import tidy
from sr.export.reference import onnx_run, run_of
from sr.models.checkpoint import load_model
from sr.models.luma_interface import LumaForm
from sr.models.metadata import ModelMetadata, from_model_json
from sr.models.network import UpsamplingNetwork
from sr.models.receptive_field import halo_px

SCHEMA = 1
PLANES = ("rgb", "luma")
_VIDEO_RANGE = "0,0.99609375"
"""What levels 0 and 255 are inside the luma form: 256ths."""
OPSET = 20


class ImageInterface(nn.Module):
    """The network with images as programs hold them: uint8 NHWC in, uint8 NHWC out."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap `network` (uint8 NCHW in and out, any number of channels)."""
        super().__init__()
        self.network = network

    def forward(self, lr_image: Tensor) -> Tensor:
        """uint8 [n,h,w,c] to uint8 [n,scale·h,scale·w,c]."""
        return self.network(lr_image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def export_onnx(model_dir: Path, out_dir: Path, planes: str = "rgb") -> dict[str, Any]:
    """Write model.onnx and, last, export.json.

    Input "input": uint8 NHWC, RGB or luma, height and width multiples of `size_multiple`. Output "output": the same,
    `scale` times taller and wider, rounded and clamped. The metadata (scale, size_multiple, color,
    value_range, preset, weights_sha256, license) is in the file. Equal models give equal bytes.

    Args:
        model_dir: with model.safetensors and model.json.
        out_dir: made if missing.
        planes: rgb; or luma, for a network of luma alone: planes as video stores them (see sr.models.luma_interface).

    Returns:
        What export.json holds.

    Raises:
        UserError: `planes` is neither, the network has no luma form, or the graph does not compute what the
            network computes, to one level.
    """
    if planes not in PLANES:
        raise UserError(f"planes out of {', '.join(PLANES)}", repr(planes), "the export", "name one of these")
    loaded = load_model(model_dir).eval().float()
    published: nn.Module = LumaForm(loaded) if planes == "luma" else loaded
    network = published if planes == "luma" else to_export(loaded)
    metadata = from_model_json(read_json(model_dir / "model.json"))
    metadata = dataclasses.replace(metadata, halo_px=halo_px(loaded.core))
    if planes == "luma":
        metadata = dataclasses.replace(metadata, color=planes, value_range=_VIDEO_RANGE)
    content = _trace(ImageInterface(network), metadata).SerializeToString(deterministic=True)
    onnx.checker.check_model(content, full_check=True)
    run, reference = onnx_run(content), run_of(published)
    parity = check_parity(run, reference, metadata)
    photographs = check_photographs(run, reference, metadata)
    write_bytes(out_dir / "model.onnx", content)
    record = {
        "schema": SCHEMA,
        "format": "onnx",
        "opset": OPSET,
        "metadata": metadata.to_strings(),
        "input": {"name": "input", "type": "uint8", "shape": ["n", "h", "w", metadata.channels]},
        "output": {
            "name": "output",
            "type": "uint8",
            "shape": ["n", f"{metadata.scale}*h", f"{metadata.scale}*w", metadata.channels],
        },
        "parity": {"against": "torch fp32", "bound_levels": LARGEST_DIFFERENCE, **dataclasses.asdict(parity)},
        "photographs": dataclasses.asdict(photographs),
        "files": {"model.onnx": {"bytes": len(content), "sha256": sha256_bytes(content)}},
    }
    write_json(out_dir / "export.json", record)
    return record


def published_graph(network: UpsamplingNetwork, metadata: ModelMetadata) -> onnx.ModelProto:
    """The network's graph as it was published, with nothing chosen for speed: for benchmarks to compare with."""
    return _trace(ImageInterface(network.eval().float()), metadata)


def _trace(interface: ImageInterface, metadata: ModelMetadata) -> onnx.ModelProto:
    multiple, scale = metadata.size_multiple, metadata.scale
    example = torch.zeros(2, 16 * multiple, 24 * multiple, metadata.channels, dtype=torch.uint8)
    batch, height, width = (torch.export.Dim(name) for name in ("n", "h", "w"))
    # A multiple of 1 must stay a plain dimension: torch refuses 1 * Dim.
    sides = (height, width) if multiple == 1 else (multiple * height, multiple * width)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(
            logging.ERROR
        )  # it warns of torchvision, which is not needed
        program = torch.onnx.export(
            interface.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes={"lr_image": {0: batch, 1: sides[0], 2: sides[1]}},
            verbose=False,
        )
    sizes: dict[str, list[str | int]] = {
        "input": ["n", "h", "w", metadata.channels],
        "output": ["n", f"{scale}*h", f"{scale}*w", metadata.channels],
    }
    return tidy(program.model_proto, metadata.to_strings(), sizes)
