"""What exported forms are held to: the network itself, in torch, or its ONNX file; in float32 on the CPU.

It writes nothing.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from data.atomic_files import read_json
from data.errors import UserError
from sr.export.parity import Run
from sr.models.checkpoint import RECORD, load_model
from sr.models.luma_interface import LumaForm
from sr.models.metadata import ModelMetadata


def run_of(network: nn.Module) -> Run:
    """What runs a network (uint8 NCHW in and out) on uint8 NHWC."""

    def run(lr_image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.tensor(lr_image).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()

    return run


def onnx_run(content: bytes) -> Run:
    """What runs an ONNX file of ours, by onnxruntime on the CPU."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda lr_image: session.run(["output"], {"input": lr_image})[0]


def network_run(model_dir: Path, metadata: ModelMetadata) -> Run:
    """What runs the network of a model directory, as a graph with this metadata should.

    Raises:
        UserError: the graph was made of another model.
    """
    found = read_json(model_dir / RECORD)["weights_sha256"]
    if found != metadata.weights_sha256:
        expected = f"the model that the graph was made of (weights {metadata.weights_sha256[:12]})"
        raise UserError(expected, f"weights {found[:12]}", str(model_dir), "export it to ONNX again")
    network = load_model(model_dir)
    return run_of(LumaForm(network) if metadata.color == "luma" else network)
