"""A video holds what its model gives for each frame, whatever kind of model and range."""

from pathlib import Path

import av
import numpy as np
import pytest
from videos import make_video, numbered

from sr.runtime.upscalers import load_upscaler
from sr.upscale.video.decode_frames import frames_of, plane_of
from sr.upscale.video.frame_network import ImageNetwork
from sr.upscale.video.probe import inspect_video
from sr.upscale.video.settings import VideoSettings
from sr.upscale.video.upscale_frame import Upscaler
from sr.upscale.video.upscale_video import upscale_video

LOSSLESS = VideoSettings(preset="ultrafast", crf=0, segment_s=0.5)


@pytest.fixture(scope="module")
def irs(luma_onnx, realtime_onnx, tmp_path_factory) -> dict[str, Path]:
    from sr.export.to_openvino import export_openvino

    made = {"luma": luma_onnx, "rgb": realtime_onnx}
    folder = tmp_path_factory.mktemp("irs")
    for color, onnx in made.items():
        export_openvino(onnx, folder / color, "fp32")
    return {color: folder / color for color in made}


@pytest.mark.parametrize("color_range", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("model", ["bicubic", "luma", "rgb"])
def test_frames_are_those_of_the_model_in_order(model, color_range, irs, tmp_path):
    """An IR runs in several streams at once here, and frame by frame beside."""
    said = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": color_range}

    def draw(number: int) -> np.ndarray:
        return np.ascontiguousarray(numbered(number)[40:129, 20:161])

    options = {"bf": "3", "g": "8"}
    source = make_video(tmp_path / "in.mkv", draw, 24, options=options, pixels="yuv444p", colors=said)
    output, spec = tmp_path / "out.mkv", irs.get(model, model)
    record = upscale_video(source, output, tmp_path / "store", spec, LOSSLESS)
    assert record["frames"] == 24 and (record["model"] == "bicubic") == (model == "bicubic")
    video = inspect_video(source)
    network = None if model == "bicubic" else ImageNetwork(load_upscaler(spec))
    alone = Upscaler(network, video, 2, "yuv444p")
    with av.open(str(output)) as made:
        for before, after in zip(frames_of(video, False, []), made.decode(video=0), strict=True):
            assert after.color_range == color_range and (after.height, after.width) == (178, 282)
            wanted = alone(before)
            for number in range(3):
                apart = plane_of(wanted, number).astype(int) - plane_of(after, number)
                assert np.abs(apart).max() <= 1
