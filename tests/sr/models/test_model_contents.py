"""A model file of another kind is named as what it is, with what would help; never with torch's unsafe advice."""

import argparse
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from images import textured
from PIL import Image
from safetensors.torch import save_file

from data.errors import UserError
from sr.models.checkpoint import export_checkpoint
from sr.models.presets import find_preset
from sr.models.registry import build_network
from sr.runtime.load import load_upscaler
from tasks.model_choice import find_weights, identify_upscaler

UNSAFE = ("weights_only", "trust", "arbitrary code", "add_safe_globals", "unsafe")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>model.pth - Hugging Face</title>"


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def saved(value: object, **options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def script() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(Net(), torch.zeros(1, 3, 8, 8)), file)
    return file.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


def a_zip(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"content")
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def image_file() -> bytes:
    file = io.BytesIO()
    Image.fromarray(textured(1, 8, 8)).save(file, "PNG")
    return file.getvalue()


def graph(kind: int = onnx.TensorProto.FLOAT16, shape: tuple = (1, 3, "h", "w"), inputs: int = 1) -> bytes:
    names = [f"x{number}" for number in range(inputs)]
    values = [onnx.helper.make_tensor_value_info(name, kind, shape) for name in names]
    node = onnx.helper.make_node("Identity", names[:1], ["y"])
    output = onnx.helper.make_tensor_value_info("y", kind, shape)
    made = onnx.helper.make_graph([node], "g", values, [output])
    opset = [onnx.helper.make_opsetid("", 20)]
    return onnx.helper.make_model(made, opset_imports=opset, ir_version=10).SerializeToString()


def refusal(path: Path) -> str:
    """Return the message about a model file, and check that no advice in it is unsafe."""
    with pytest.raises(UserError) as caught:
        if path.suffix in (".onnx", ".xml"):
            load_upscaler(path)
        else:
            export_checkpoint(path, path.parent / "model")
    text = str(caught.value)
    assert not [word for word in UNSAFE if word in text] and text.isprintable() and len(text) < 600
    return text.removeprefix(str(path))


OTHERS = {
    "page": (PAGE, "is a web page. Download the file itself"),
    "pointer": (LFS, "is a Git LFS pointer in place of the model. Run: git lfs pull"),
    "json": (b'{"error": "Not found"}', "is JSON text. Download the file itself"),
    "server": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is an XML document"),
    "empty": (b"", "is empty. Download or save it again"),
    "zeros": (bytes(3000), "is filled with zeros"),
    "image_file": (image_file(), "is an image (PNG)"),
    "array": (array(), "is an array of NumPy"),
    "gguf": (b"GGUF\3\0\0\0" + bytes(90), "is a GGUF file of llama.cpp"),
    "zip": (a_zip("model.pth"), "is a zip. Unpack it"),
    "gzip": (b"\x1f\x8b\x08" + bytes(90), "is a file compressed by gzip. Unpack it"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(90), "is an HDF5 file, as Keras writes it"),
    "ncnn": (b"7767517\n3 3\nInput in 0 1 in\n", "is a network of ncnn"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".onnx", ".xml"])
@pytest.mark.parametrize("name", list(OTHERS))
def test_a_file_of_another_kind_is_named(name, suffix, tmp_path):
    content, words = OTHERS[name]
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    assert words in refusal(path)
    for choose in (find_weights, lambda model: identify_upscaler(model, 2, ("bicubic",))):
        if suffix in (".pth", ".safetensors") and choose is not find_weights:
            continue
        with pytest.raises(UserError, match="is "):
            choose(str(path))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pth", safetensors(), "is a safetensors file. Name it .safetensors."),
        ("a.safetensors", saved({"a": torch.zeros(1)}), "is a checkpoint of torch. Name it .pth."),
        (
            "a.safetensors",
            saved({}, _use_new_zipfile_serialization=False),
            "is a checkpoint of torch. Name it .pth.",
        ),
        ("a.pth", graph(), "is an ONNX file. Name it .onnx."),
        ("a.onnx", safetensors(), "is a safetensors file. Name it .safetensors."),
        ("a.xml", graph(), "is an ONNX file. Name it .onnx."),
        ("a.pth", b'<?xml version="1.0"?>\n<net name="m" version="11">', "is an OpenVINO IR. Name it .xml"),
        ("a.pth", script(), "is a TorchScript program, which would have to be run."),
        ("a.pt", script(), "is a TorchScript program, which would have to be run."),
        ("a.pth", saved(Net()), "holds an object of "),
        (
            "a.pth",
            saved({"state_dict": {}, "args": argparse.Namespace()}),
            "holds an object of argparse.Namespace",
        ),
        ("a.pth", pickle.dumps({"a": 1}), "is a pickle that torch.save did not write"),
        ("a.pth", saved(Net(), _use_new_zipfile_serialization=False), "without running code from it"),
        ("a.pth", saved(Net().state_dict())[:900], "that is cut off or damaged. Download or save it again."),
        ("a.pth", saved([1, 2]), "contains a list, not a state dict"),
        ("a.pth", saved({"epoch": 3, "net": Net().state_dict()}), "Its weights may be under 'net'"),
        ("a.xml", b'<?xml version="1.0"?>\n<net name="m" version="11">', "has no a.bin beside it"),
    ],
)
def test_a_model_under_another_name_or_with_more_than_weights(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert words in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (graph(onnx.TensorProto.UINT8), "it takes x0 (uint8, 1 x 3 x h x w) and gives"),
        (graph(inputs=2), "it takes x0 (float16, 1 x 3 x h x w) and x1 (float16, 1 x 3 x h x w) and gives"),
        (graph()[:60], "is not a readable model file"),
    ],
)
def test_an_onnx_file_of_another_program_says_what_it_takes(content, words, tmp_path):
    (tmp_path / "peer.onnx").write_bytes(content)
    assert words in refusal(tmp_path / "peer.onnx")


def test_an_exported_graph_whose_input_was_changed_since_is_refused(realtime_onnx, tmp_path):
    model = onnx.load(realtime_onnx / "model.onnx")
    model.graph.input.append(onnx.helper.make_tensor_value_info("strength", onnx.TensorProto.FLOAT, [1]))
    onnx.save(model, tmp_path / "a.onnx")
    assert "was changed since it was exported: it takes input (uint8" in refusal(tmp_path / "a.onnx")


@pytest.mark.parametrize("names", [("latest", "global_step10"), ("mp_rank_00_model_states.pt",)])
def test_a_folder_of_deepspeed_says_how_to_join_it(names, tmp_path):
    for name in names:
        (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).write_bytes(b"")
    for refuse in (
        load_upscaler,
        lambda folder: export_checkpoint(folder, tmp_path / "model"),
        lambda folder: identify_upscaler(str(folder), 2, ("bicubic",)),
    ):
        with pytest.raises(UserError, match=r"checkpoint folder of DeepSpeed.*zero_to_fp32\.py"):
            refuse(tmp_path)


def test_a_folder_of_another_program_names_the_files_in_it(tmp_path):
    (tmp_path / "net_g_latest.pth").write_bytes(b"")
    (tmp_path / "config.json").write_bytes(b"{}")
    with pytest.raises(UserError, match=r"Give one of its files: net_g_latest\.pth"):
        load_upscaler(tmp_path)


def test_suffixes_may_be_in_capitals(tmp_path):
    network = build_network(find_preset("realtime-rgb-x2"))
    torch.save(network.core.state_dict(), tmp_path / "A.PTH")
    save_file(network.core.state_dict(), tmp_path / "B.SAFETENSORS")
    for name in ("A.PTH", "B.SAFETENSORS"):
        assert find_weights(str(tmp_path / name)) == tmp_path / name
        assert export_checkpoint(tmp_path / name, tmp_path / "model")["scale"] == 2
