"""Export a realtime network to model.glsl, a user shader of mpv and libplacebo: players then upscale while they play.

A luma shader replaces the plane LUMA, and leaves chroma to the player; an RGB shader replaces the image MAIN. Where
ffmpeg has libplacebo and a Vulkan device, the shader is run and compared with the network; elsewhere the record says
that it was not.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.atomic_files import read_json, write_bytes, write_json
from data.errors import UserError
from data.hashing import sha256_bytes
from sr.export.parity import ImageBatch, Runner, compare_outputs, make_test_image
from sr.export.reference import make_torch_runner
from sr.export.settings import SHADER_PRECISIONS
from sr.export.shader_player import ShaderPlayer, find_fault
from sr.export.shader_text import HOOKS, ShaderNetwork, write_shader
from sr.export.to_onnx import luma_metadata
from sr.models.checkpoint import load_model
from sr.models.luma_interface import LumaInterface
from sr.models.metadata import ModelMetadata, from_model_json
from sr.models.network import SuperResolutionNetwork
from sr.models.realtime import CELL_PX, Realtime

SCHEMA = 1
FILE = "model.glsl"
MAX_LEVEL_DIFFERENCE = 2
"""Largest accepted difference from the network in torch. Players keep features in 16-bit floats in both precisions."""


def export_shader(
    model_dir: Path, out_dir: Path, planes: str = "", precision: str = "fp32"
) -> dict[str, Any]:
    """Write model.glsl and, last, export.json. Equal models give equal shaders.

    Args:
        model_dir: with model.safetensors and model.json.
        out_dir: created if missing.
        planes: luma, for networks that work on luma only; or rgb. Empty: luma if the network works on it only.
        precision: fp32; or fp16, of the weights, and of the computation where the GPU has it.

    Returns:
        The content of export.json.

    Raises:
        UserError: the network is no realtime network or does not work on luma only, or the shader does not compute
            what the network computes.
    """
    if precision not in SHADER_PRECISIONS:
        raise UserError(
            f"Cannot export a shader in {precision!r}", f"Choose one of: {', '.join(SHADER_PRECISIONS)}"
        )
    network = load_model(model_dir).eval().float()
    core = _check_core(network)
    metadata = from_model_json(read_json(model_dir / "model.json"))
    metadata = dataclasses.replace(metadata, precision=precision)
    planes = planes or ("luma" if core.planes == 1 else "rgb")
    reference: SuperResolutionNetwork | LumaInterface = network
    if planes == "luma":
        reference, metadata = LumaInterface(network), luma_metadata(metadata)
    name = metadata.preset or metadata.architecture
    content = write_network(reference, name, precision, _describe_file(metadata))
    parity = _check(content, reference, metadata)
    write_bytes(out_dir / FILE, content)
    record = _describe(metadata, planes, content, parity)
    write_json(out_dir / "export.json", record)
    return record


def _check_core(network: SuperResolutionNetwork) -> Realtime:
    """Return the core of a network that a shader can compute.

    Raises:
        UserError: the network is another one.
    """
    core, description = network.core, network.description
    if not isinstance(core, Realtime):
        message = (
            f"A shader can be made of a realtime network only, but this one is {description.architecture}"
        )
        raise UserError(message, "Choose a realtime preset or its weights; others run in UpscaleVideo")
    if core.size_multiple != CELL_PX or len(core.slopes):
        kind = "cells of 4x4 pixels" if core.size_multiple != CELL_PX else "PReLU"
        message = (
            f"A shader can be made of networks with cells of 2x2 pixels and ReLU, but this one has {kind}"
        )
        raise UserError(
            message, "Choose a network without -u4 and -prelu in its name; others run in UpscaleVideo"
        )
    return core


def write_network(
    network: SuperResolutionNetwork | LumaInterface, name: str, precision: str, comment: str = ""
) -> bytes:
    """Return the shader of a realtime network: of RGB, or of luma.

    The range of values inside is folded into the first and the last layer. A texture holds levels in 255ths; the
    network sees gain·x + offset, and gives a residual that is larger by the gain.

    Args:
        network: whose core is a `Realtime`.
        name: for the player's list of passes.
        precision: fp32 or fp16.
        comment: lines for the beginning of the file.
    """
    core = network.core
    assert isinstance(core, Realtime)
    gain, offset = 255 / 256, 0.0  # as in LumaInterface, which takes levels in 256ths
    if isinstance(network, SuperResolutionNetwork):
        offset, brightest = network.value_range
        gain = brightest - offset
    convolutions = [layer for layer in core.layers if isinstance(layer, nn.Conv2d)]
    layers = [(_to_numpy(layer.weight), _to_numpy(layer.bias)) for layer in convolutions]
    kernel, bias = layers[0]
    layers[0] = kernel * gain, bias + offset * kernel.sum(axis=(1, 2, 3))
    kernel, bias = layers[-1]
    layers[-1] = kernel / gain, bias / gain
    shader = ShaderNetwork(name, core.scale, core.colors, core.planes, layers, precision)
    return write_shader(shader, comment).encode()


def _to_numpy(tensor: Tensor | None) -> "np.ndarray[Any, np.dtype[np.float64]]":
    assert tensor is not None  # all layers have a bias
    values: np.ndarray[Any, np.dtype[np.float64]] = tensor.detach().to(torch.float64).numpy()
    return values


def _check(
    content: bytes, network: SuperResolutionNetwork | LumaInterface, metadata: ModelMetadata
) -> dict[str, Any]:
    """Run the shader where that is possible, and compare it with the network; return the figures for export.json."""
    if fault := find_fault():
        return {"against": None, "why_not": fault}
    player = ShaderPlayer(content, metadata.scale)
    # One image of odd sides: each size costs a compilation of the shader.
    image = make_test_image(71, 93, metadata.channels)
    parity = compare_outputs(player.run, _make_reference(network), [image])
    if parity.max_level_difference > MAX_LEVEL_DIFFERENCE:
        raise UserError(
            f"The shader in {metadata.precision} differs from the network by up to {parity.max_level_difference} "
            f"levels on {player.device}; allowed are {MAX_LEVEL_DIFFERENCE}",
            "Export with --precision fp32"
            if metadata.precision == "fp16"
            else "Report this with the model's preset and the graphics driver",
        )
    return {
        "against": "torch fp32",
        "device": player.device,
        "bound_levels": MAX_LEVEL_DIFFERENCE,
        **dataclasses.asdict(parity),
    }


def _make_reference(network: SuperResolutionNetwork | LumaInterface) -> Runner:
    """Return a function that runs the network on images of any size."""
    run, multiple = make_torch_runner(network), network.size_multiple

    def reference(lr_image: ImageBatch) -> ImageBatch:
        height, width = lr_image.shape[1:3]
        padding = ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0))
        hr_image = run(np.pad(lr_image, padding, mode="edge"))
        return hr_image[:, : height * network.scale, : width * network.scale]

    return reference


def _describe_file(metadata: ModelMetadata) -> str:
    """Return the comment at the beginning of the shader."""
    planes = (
        "It upscales luma of limited range, as video stores it, and leaves chroma to the player."
        if metadata.color == "luma"
        else "It upscales R, G and B."
    )
    return "\n".join(
        [
            f"{metadata.preset or metadata.architecture}: super-resolution x{metadata.scale}, {metadata.precision}.",
            planes,
            f"License of the weights: {metadata.license}. SHA-256 of the weights: {metadata.weights_sha256}",
            "mpv --glsl-shader=model.glsl; any player with libplacebo that has compute shaders.",
        ]
    )


def _describe(metadata: ModelMetadata, planes: str, content: bytes, parity: dict[str, Any]) -> dict[str, Any]:
    """Return the content of export.json."""
    return {
        "schema": SCHEMA,
        "format": "glsl",
        "hook": HOOKS[planes],
        "precision": metadata.precision,
        "scale": metadata.scale,
        "weights_sha256": metadata.weights_sha256,
        "license": metadata.license,
        "parity": parity,
        "files": {FILE: {"bytes": len(content), "sha256": sha256_bytes(content)}},
    }
