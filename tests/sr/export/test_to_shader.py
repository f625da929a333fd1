"""Shaders for players: run in ffmpeg's libplacebo on a Vulkan device, and compared with the network."""

import subprocess

import numpy as np
import pytest
import torch
from images import textured
from safetensors.torch import save_file

from data.errors import UserError
from sr.export import shader_player, to_shader
from sr.export.shader_player import ShaderPlayer, find_fault
from sr.export.to_shader import export_shader
from sr.models.checkpoint import export_checkpoint, load_model
from sr.models.luma_interface import LumaInterface
from sr.models.presets import IN_256THS, ModelDescription
from sr.models.registry import build_network


@pytest.fixture
def vulkan():
    """Skip the test where ffmpeg cannot run shaders."""
    if fault := find_fault():
        pytest.skip(f"{fault}; on Debian: apt-get install ffmpeg mesa-vulkan-drivers")


def test_luma_of_a_played_video_is_the_networks(luma_dir, tmp_path, vulkan):
    """The command of the documentation, on a clip with colors and of odd size."""
    record = export_shader(luma_dir, tmp_path)
    assert record["hook"] == "LUMA" and record["parity"]["max_level_difference"] <= 2
    clip = np.random.default_rng(1).integers(100, 156, 61 * 45 + 2 * 31 * 23, np.uint8)
    clip[: 61 * 45] = (textured(3, 45, 61)[..., 0] // 2 + 64).ravel()
    chain = (
        "format=yuv420p,hwupload,libplacebo=w=iw*2:h=ih*2:custom_shader_path=model.glsl,"
        "hwdownload,format=yuv420p"
    )
    command = [
        *("ffmpeg", "-v", "error", "-init_hw_device", "vulkan=vk", "-filter_hw_device", "vk"),
        *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "61x45", "-i", "-", "-vf", chain),
        *("-f", "rawvideo", "-"),
    ]
    played = subprocess.run(command, input=clip.tobytes(), cwd=tmp_path, capture_output=True, check=True)
    luma = np.frombuffer(played.stdout, np.uint8)[: 122 * 90].reshape(90, 122)
    padded = np.pad(clip[: 61 * 45].reshape(45, 61), ((0, 1), (0, 1)), mode="edge")
    expected = LumaInterface(load_model(luma_dir))(torch.from_numpy(padded)[None, None])[0, 0, :90, :122]
    assert np.abs(luma - expected.numpy().astype(int)).max() <= 2


@pytest.mark.parametrize(
    ("model", "planes", "precision"),
    [("realtime", "", "fp32"), ("luma", "rgb", "fp16"), ("luma", "", "fp16")],
)
def test_other_shaders_are_run_and_compared_too(model, planes, precision, tmp_path, vulkan, request):
    """A network of R, G and B; one of luma that adds its residual to each color; and half precision."""
    record = export_shader(request.getfixturevalue(f"{model}_dir"), tmp_path, planes, precision)
    assert record["hook"] == ("LUMA" if model == "luma" and not planes else "MAIN")
    assert record["parity"]["max_level_difference"] <= 2 and record["parity"]["images"] == 1
    assert ("f16vec4" in (tmp_path / "model.glsl").read_text()) == (precision == "fp16")


@pytest.mark.parametrize("scale", [3, 4])
def test_every_scale_and_a_width_that_is_no_multiple_of_four(scale, tmp_path, vulkan):
    sizes = {"scale": scale, "layers": 2, "channels": 3, "planes": 1}
    network = build_network(ModelDescription("realtime", sizes, IN_256THS)).eval()
    stream = torch.Generator().manual_seed(scale)
    for weight in network.core.parameters():
        weight.data = torch.randn(weight.shape, generator=stream) * 0.05
    luma = LumaInterface(network)
    text = to_shader.write_network(luma, "realtime", "fp32")
    lr_image = textured(scale, 20, 34)[..., :1]
    expected = luma(torch.from_numpy(lr_image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(ShaderPlayer(text, scale).run(lr_image[None])[0] - expected.astype(int)).max() <= 2


def test_equal_models_give_equal_shaders(luma_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(to_shader, "find_fault", lambda: "not wanted")
    record = export_shader(luma_dir, tmp_path / "one")
    text = (tmp_path / "one/model.glsl").read_text()
    assert export_shader(luma_dir, tmp_path / "two")["files"] == record["files"]
    assert "//!HOOK LUMA" in text and "//!WHEN" in text and "License of the weights: unknown" in text


def test_a_shader_that_computes_something_else_is_refused(luma_dir, tmp_path, monkeypatch, vulkan):
    wrong = "//!DESC wrong\n//!HOOK LUMA\n//!BIND LUMA\nvec4 hook() { return LUMA_tex(LUMA_pos) * 0.9; }\n"
    monkeypatch.setattr(to_shader, "write_shader", lambda *_: wrong)
    with pytest.raises(UserError, match="differs from the network by up to"):
        export_shader(luma_dir, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_without_vulkan_the_record_says_that_the_shader_was_not_run(luma_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(to_shader, "find_fault", shader_player.find_fault.__wrapped__)
    parity = export_shader(luma_dir, tmp_path)["parity"]
    assert parity == {"against": None, "why_not": "ffmpeg is not installed"}


def test_other_networks_are_refused(vapsr_dir, realtime_dir, tmp_path):
    with pytest.raises(UserError, match="realtime network only, but this one is vapsr"):
        export_shader(vapsr_dir, tmp_path)
    with pytest.raises(UserError, match="needs a network of luma alone"):
        export_shader(realtime_dir, tmp_path, "luma")
    with pytest.raises(UserError, match="shader in 'int8'"):
        export_shader(realtime_dir, tmp_path, "rgb", "int8")


@pytest.mark.parametrize(("more", "kind"), [({"unshuffle": 4}, "cells of 4x4"), ({"prelu": 1}, "PReLU")])
def test_networks_of_the_family_that_a_shader_cannot_compute_are_refused(more, kind, tmp_path):
    sizes = {"scale": 2, "layers": 2, "channels": 4, "planes": 1, **more}
    network = build_network(ModelDescription("realtime", sizes, IN_256THS))
    save_file(network.core.state_dict(), tmp_path / "weights.safetensors")
    export_checkpoint(tmp_path / "weights.safetensors", tmp_path / "model")
    with pytest.raises(UserError, match=f"cells of 2x2 pixels and ReLU, but this one has {kind}"):
        export_shader(tmp_path / "model", tmp_path / "shader")
    assert not (tmp_path / "shader").exists()
