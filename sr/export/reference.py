"""What an exported file is compared with: the network in torch, or its ONNX file, in float32 on the CPU."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from data.atomic_files import read_json
from data.errors import UserError
from sr.export.parity import ImageBatch, Runner
from sr.models.checkpoint import RECORD, load_model
from sr.models.luma_interface import LumaInterface
from sr.models.metadata import ModelMetadata
from sr.models.network import SuperResolutionNetwork
from sr.runtime.onnx_runtime import onnxruntime


def make_torch_runner(network: nn.Module) -> Runner:
    """Return a function that runs a network (uint8 NCHW in and out) on uint8 NHWC."""

    def run(lr_image: ImageBatch) -> ImageBatch:
        with torch.inference_mode():
            output = network(torch.tensor(lr_image).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        hr_image: npt.NDArray[np.uint8] = output.numpy()
        return hr_image

    return run


def make_onnx_runner(content: bytes) -> Runner:
    """Return a function that runs an ONNX file, given as bytes, in ONNX Runtime on the CPU."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(lr_image: ImageBatch) -> ImageBatch:
        hr_image: ImageBatch = session.run(["output"], {"input": lr_image})[0]
        return hr_image

    return run


def load_network(model_dir: Path, metadata: ModelMetadata) -> SuperResolutionNetwork | LumaInterface:
    """Load the network from which a graph with this metadata was exported, with the graph's planes.

    Raises:
        UserError: the graph was exported from another model.
    """
    found = read_json(model_dir / RECORD)["weights_sha256"]
    if found != metadata.weights_sha256:
        raise UserError(
            f"The graph was exported from the weights {metadata.weights_sha256[:12]}, but {model_dir} has {found[:12]}",
            "Export the model to ONNX again",
        )
    network = load_model(model_dir)
    check_half(network, metadata.precision)
    return LumaInterface(network) if metadata.color == "luma" else network


def check_half(network: SuperResolutionNetwork, precision: str) -> None:
    """Check that a network computes in float16, if that is its precision.

    Raises:
        UserError: it does not.
    """
    if precision == "fp16" and not network.core.supports_half:
        name = network.description.preset
        raise UserError(f"The network {name} does not compute in half precision (fp16)", "Export it as fp32")
