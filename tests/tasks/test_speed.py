"""Run BenchmarkModel from the command line: what it prints and writes, and that each run measures again."""

import json

import luigi as luigi_module
import numpy as np
import onnx
import pytest
from commands import luigi
from onnx import TensorProto, helper, numpy_helper

from tasks import BenchmarkModel

QUICK = ["--speed-sizes", "24x16", "--speed-streams", "auto", "--speed-seconds", "0.01"]


@pytest.fixture
def network(tmp_path):
    """Return an ONNX file with the project's metadata: one 3x3 convolution, then a pixel shuffle."""
    weights = np.full((12, 3, 3, 3), 1 / 27, np.float32)
    nodes = [
        helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "weights"], ["features"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["features"], ["large"], blocksize=2, mode="CRD"),
        helper.make_node("Transpose", ["large"], ["pixels"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["pixels"], ["output"], to=TensorProto.UINT8),
    ]
    ends = [
        helper.make_tensor_value_info("input", TensorProto.UINT8, ["n", "h", "w", 3]),
        helper.make_tensor_value_info("output", TensorProto.UINT8, ["n", "2*h", "2*w", 3]),
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], [numpy_helper.from_array(weights, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    strings = {"schema": "2", "scale": "2", "size_multiple": "1", "color": "rgb", "value_range": "0,1"}
    strings |= {"preset": "tiny", "architecture": "tiny", "weights_sha256": "ab", "license": "unknown"}
    strings |= {"precision": "fp32", "layout": "NHWC"}
    helper.set_model_props(model, strings)
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_figures_are_printed_stored_and_measured_again(network, tmp_path):
    store = tmp_path / "store"
    runs = []
    for _ in range(2):
        result = luigi(store, "BenchmarkModel", "--model", str(network), "--speed-devices", "AUTO", *QUICK)
        assert result.returncode == 0, result.stderr
        assert "AUTO 24x16 reference:" in result.stdout and "AUTO 24x16 fp32:" in result.stdout
        (directory,) = (store / "benchmarks").iterdir()
        assert f"Benchmark: {directory}" in result.stdout
        runs.append(json.loads((directory / "speed.json").read_text()))
    assert {"speed.json", "speed.md", "speed.svg"} <= {path.name for path in directory.iterdir()}
    assert runs[0]["run"] != runs[1]["run"]
    assert [(row["precision"], row["mode"]) for row in runs[1]["rows"]] == [
        ("reference", "latency"),
        ("fp32", "latency"),
        ("fp32", "throughput"),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--speed-sizes", "24"], ["WIDTHxHEIGHT", "'24'"]),
        (["--speed-streams", "0"], ["or auto", "'0'", "--speed-streams"]),
        (["--speed-devices", "TPU"], ["CPU", "'TPU'"]),
        (["--model", "no.onnx"], ["no.onnx", "Check the path"]),
    ],
)
def test_a_mistake_is_one_line(network, tmp_path, arguments, words):
    result = luigi(tmp_path / "store", "BenchmarkModel", "--model", str(network), *arguments)
    (line,) = result.stderr.splitlines()
    assert result.returncode != 0 and "Traceback" not in result.stderr
    for word in words:
        assert word in line


def test_a_weights_file_is_quantized_only_on_request(tmp_path):
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(b"weights")
    config = luigi_module.configuration.get_config()
    config.set("store", "root", str(tmp_path))
    try:
        assert set(BenchmarkModel(model=str(weights)).requires()) == {"model", "fp32", "fp16"}
        assert set(BenchmarkModel().requires()) == {"model", "fp32", "fp16", "int8"}
        config.set("speed", "precisions", "int8")
        luigi_module.task_register.Register.clear_instance_cache()
        assert set(BenchmarkModel(model=str(weights)).requires()) == {"model", "int8"}
    finally:
        config.remove_option("store", "root")
        config.remove_option("speed", "precisions")
        luigi_module.task_register.Register.clear_instance_cache()
