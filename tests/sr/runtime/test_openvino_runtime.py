"""Compiling for a device: the float type follows its capabilities, and a cached model gives the same bytes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from images import textured

from data.errors import UserError
from sr.runtime import compiled_cache, openvino_runtime
from sr.runtime.openvino_runtime import (
    AUTO_STREAMS,
    choose_float_type,
    compile_for_device,
    list_devices,
    openvino,
)

REPOSITORY = Path(__file__).parents[3]
AMX, AVX2 = ["BF16", "FP32", "INT8", "FP16"], ["FP32", "INT8"]
GPU, NPU = ["FP32", "FP16", "INT8", "EXPORT_IMPORT"], ["FP16", "INT8"]


@pytest.mark.parametrize(
    ("device", "capabilities", "precision", "expected"),
    [
        ("CPU", AMX, "fp32", "f32"),
        ("CPU", AMX, "fp16", "bf16"),
        ("CPU", AMX, "int8", "bf16"),
        ("CPU", AVX2, "fp16", "f32"),
        ("CPU", ["FP32", "FP16"], "fp16", "f16"),
        ("GPU.1", GPU, "fp16", "f16"),
        ("GPU", GPU, "fp32", "f32"),
        ("NPU", NPU, "fp32", "f16"),
    ],
)
def test_the_float_type_follows_the_capabilities(device, capabilities, precision, expected):
    assert choose_float_type(device, capabilities, precision) == expected


def _upscale(compiled, lr_image):
    return compiled({"input": lr_image[None]})["output"].copy()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_cached_model_gives_the_same_bytes(realtime_irs, tmp_path, precision, monkeypatch):
    core, lr_image = openvino.Core(), textured(1, 34, 46)
    model = core.read_model(realtime_irs[precision] / "model.xml")
    fresh = _upscale(compile_for_device(core, model, "CPU", precision), lr_image)
    first = _upscale(compile_for_device(core, model, "CPU", precision, cache=tmp_path), lr_image)
    assert len(list(tmp_path.iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(openvino_runtime.compiled_cache, "save", lambda *_: pytest.fail("compiled again"))
        second = _upscale(
            compile_for_device(openvino.Core(), model, "CPU", precision, cache=tmp_path), lr_image
        )
    np.testing.assert_array_equal(fresh, first)
    np.testing.assert_array_equal(fresh, second)


def test_a_change_that_affects_the_result_compiles_again(realtime_irs, tmp_path):
    core = openvino.Core()

    def compile_one(path, precision="fp16", shape=None, **options):
        model = core.read_model(path / "model.xml")
        if shape:
            model.reshape({"input": shape})
        compile_for_device(core, model, "CPU", precision, cache=tmp_path, **options)
        return len(list(tmp_path.iterdir()))

    assert compile_one(realtime_irs["fp16"]) == 1
    assert compile_one(realtime_irs["fp16"]) == 1
    assert compile_one(realtime_irs["int8"]) == 2
    # A CPU without 16-bit floats computes fp16 and fp32 alike, so they share the compiled model.
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    types = {choose_float_type("CPU", capabilities, one) for one in ("fp16", "fp32")}
    count = 1 + len(types)
    assert compile_one(realtime_irs["fp16"], precision="fp32") == count
    assert compile_one(realtime_irs["fp16"], shape=[1, 16, 16, 3]) == count + 1
    assert compile_one(realtime_irs["fp16"], streams=AUTO_STREAMS) == count + 2
    other = tmp_path.parent / f"{tmp_path.name}-other"
    other.mkdir()
    for end in ("xml", "bin"):
        (other / f"model.{end}").write_bytes((realtime_irs["fp16"] / f"model.{end}").read_bytes())
    weights = bytearray((other / "model.bin").read_bytes())
    weights[len(weights) // 2] ^= 1
    (other / "model.bin").write_bytes(weights)
    assert compile_one(other) == count + 3


def test_a_cached_model_that_the_device_rejects_is_compiled_again(realtime_irs, tmp_path):
    core, lr_image = openvino.Core(), textured(2, 16, 16)
    model = core.read_model(realtime_irs["fp16"] / "model.xml")
    expected = _upscale(compile_for_device(core, model, "CPU", "fp16", cache=tmp_path), lr_image)
    (path,) = tmp_path.iterdir()
    compiled_cache.save(tmp_path, path.stem, b"of another driver")
    np.testing.assert_array_equal(
        _upscale(compile_for_device(core, model, "CPU", "fp16", cache=tmp_path), lr_image), expected
    )
    assert path.stat().st_size > 1000


def test_auto_is_a_device_and_is_not_cached(realtime_irs, tmp_path):
    core, lr_image = openvino.Core(), textured(3, 16, 16)
    assert list_devices(core)[0] == "CPU" and list_devices(core)[-1] == "AUTO"
    model = core.read_model(realtime_irs["fp32"] / "model.xml")
    auto, cpu = (
        _upscale(compile_for_device(core, model, one, "fp32", cache=tmp_path), lr_image)
        for one in ("AUTO", "CPU")
    )
    np.testing.assert_array_equal(auto, cpu)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_device_is_refused(realtime_irs):
    core = openvino.Core()
    model = core.read_model(realtime_irs["fp32"] / "model.xml")
    with pytest.raises(UserError, match=r"no OpenVINO device 'TPU'. Choose one of: CPU.*AUTO"):
        compile_for_device(core, model, "TPU", "fp32")


FIRST_READS = """
import sys, threading, time
from sr.runtime.openvino_runtime import compile_for_device, openvino
from openvino import opset13

lr_image = opset13.parameter([1, 4], openvino.Type.u8)
model = openvino.Model([opset13.relu(lr_image)], [lr_image])
compiled = compile_for_device(openvino.Core(), model, "CPU", "fp32")
barrier = threading.Barrier(8)

def read():
    tensor = compiled.create_infer_request().get_input_tensor()
    barrier.wait()
    done.append(tensor.data.shape)

done = []
threading.setprofile(lambda *_: time.sleep(0.001))  # at every call a thread lets the others run
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(done != [(1, 4)] * 8)
"""


def test_threads_that_read_their_first_tensors_together_do_not_deadlock():
    # In a separate process, since only the first reads can hang. It takes 1 s, or forever.
    subprocess.run([sys.executable, "-c", FIRST_READS], cwd=REPOSITORY, check=True, timeout=60)
