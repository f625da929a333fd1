"""A network for video frames: on any OpenVINO device, compiled once for each size, or of a fixed size."""

import numpy as np
import pytest
from images import textured

from data.errors import UserError
from sr.export.to_openvino import export_openvino
from sr.runtime import compiled_cache
from sr.runtime.load import load_upscaler
from sr.upscale.video.frame_network import load_network


@pytest.mark.parametrize("device", ["CPU", "AUTO"])
def test_frames_are_upscaled_like_images(realtime_irs, device):
    lr_image = textured(1, 33, 46)
    network = load_network(realtime_irs["fp32"], 33, 46, device)
    expected = load_upscaler(realtime_irs["fp32"], device=device)(lr_image)
    assert np.abs(network.upscale_uint8(lr_image).astype(int) - expected).max() <= 1
    assert np.abs(network.upscale_levels(lr_image.astype(np.float32)) - expected).max() < 1.6


def test_a_second_video_of_the_same_size_uses_the_compiled_model(realtime_irs, tmp_path, monkeypatch):
    monkeypatch.setenv("SR_COMPILED_MODELS", str(tmp_path))
    lr_image = textured(1, 32, 46)
    first = load_network(realtime_irs["int8"], 32, 46)
    expected = first.upscale_uint8(lr_image).copy()
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(compiled_cache, "save", lambda *_: pytest.fail("compiled again"))
    second = load_network(realtime_irs["int8"], 32, 46)
    np.testing.assert_array_equal(second.upscale_uint8(lr_image), expected)
    streams = [one._compiled["uint8"].get_property("NUM_STREAMS") for one in (first, second)]
    assert streams == [first.workers] * 2


def test_a_missing_device_or_a_wrong_size_is_an_error(realtime_irs, realtime_onnx, tmp_path):
    for load in (load_upscaler, lambda path, device: load_network(path, 16, 16, device)):
        with pytest.raises(UserError, match="no OpenVINO device 'NPU.7'.*CPU, AUTO"):
            load(realtime_irs["fp32"], device="NPU.7")
        with pytest.raises(UserError, match="cannot run on the device GPU"):
            load(realtime_onnx, device="GPU")
    export_openvino(realtime_onnx, tmp_path, "fp32", size=(16, 22))
    assert load_network(tmp_path, 16, 21).upscale_uint8(textured(1, 16, 21)).shape == (32, 42, 3)
    with pytest.raises(UserError, match="only images of 16x22"):
        load_network(tmp_path, 32, 22)
