"""The ONNX file: it computes what the network does, has metadata, and its bytes depend on the model only."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from images import textured

from data.errors import UserError
from data.hashing import sha256_file
from sr.export import to_onnx
from sr.models.checkpoint import load_model

ROOT = Path(__file__).parents[3]


def test_record_describes_the_file(realtime_onnx, realtime_dir):
    record = json.loads((realtime_onnx / "export.json").read_text())
    assert record["files"]["model.onnx"]["sha256"] == sha256_file(realtime_onnx / "model.onnx")
    assert record["metadata"]["weights_sha256"] == sha256_file(realtime_dir / "model.safetensors")
    assert record["metadata"]["size_multiple"] == "2"
    assert record["parity"]["max_level_difference"] <= 1
    assert record["photographs"]["images"] == 7 and record["photographs"]["max_level_difference"] <= 1
    props = {item.key: item.value for item in onnx.load(realtime_onnx / "model.onnx").metadata_props}
    assert props == record["metadata"]


@pytest.mark.parametrize("model", ["realtime", "vapsr"])
@pytest.mark.parametrize("shape", [(1, 2, 2), (2, 30, 46), (3, 64, 18)])
def test_any_batch_and_size_equal_torch(model, shape, request):
    network = load_model(request.getfixturevalue(f"{model}_dir"))
    session = onnxruntime.InferenceSession(request.getfixturevalue(f"{model}_onnx") / "model.onnx")
    lr_image = np.stack([textured(seed, *shape[1:]) for seed in range(shape[0])])
    with torch.inference_mode():
        expected = network(torch.from_numpy(lr_image).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    made = session.run(["output"], {"input": lr_image})[0]
    assert made.dtype == np.uint8
    assert np.abs(made.astype(int) - expected).max() <= 1


def test_dimensions_in_the_graph_are_named(realtime_onnx):
    graph = onnx.load(realtime_onnx / "model.onnx").graph
    sizes = [
        [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    ]
    assert sizes == [["n", "h", "w", 3], ["n", "2*h", "2*w", 3]]


def test_nodes_are_named_by_their_modules(realtime_onnx, vapsr_onnx):
    realtime, vapsr = (
        [node.name for node in onnx.load(directory / "model.onnx").graph.node]
        for directory in (realtime_onnx, vapsr_onnx)
    )
    assert {"core.upscaling/Conv", "core.layers.0/Conv", "core.layers.2/Conv"} <= set(realtime)
    assert {"core.conv_first/Conv", "core.body.1.proj_1/Conv", "core.upsampler.2/Conv"} <= set(vapsr)
    assert len(set(realtime)) == len(realtime)


@pytest.mark.slow
def test_another_process_writes_the_same_bytes_without_traces_of_the_machine(
    realtime_dir, realtime_onnx, tmp_path
):
    code = "import sys, pathlib, sr.export.to_onnx as e; e.export_onnx(*map(pathlib.Path, sys.argv[1:]))"
    environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(realtime_dir), str(tmp_path)]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True)
    for name in ("model.onnx", "export.json"):
        content = (tmp_path / name).read_bytes()
        assert content == (realtime_onnx / name).read_bytes()
        for trace in (str(ROOT), str(tmp_path), sys.prefix, "stack_trace", ".py"):
            assert trace.encode() not in content


def test_a_graph_that_computes_something_else_is_refused(realtime_dir, tmp_path, monkeypatch):
    def change_bias(network):
        with torch.no_grad():
            network.core.layers[-1].bias += 0.05
        return network

    monkeypatch.setattr(to_onnx, "rewrite_for_inference", lambda network: change_bias(copy.deepcopy(network)))
    with pytest.raises(
        UserError, match=r"fp32 model differs from the network by .* levels .* on generated images"
    ):
        to_onnx.export_onnx(realtime_dir, tmp_path)
    assert list(tmp_path.iterdir()) == []
