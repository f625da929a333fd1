"""A video contains the model's result for each frame, for every kind of model and color range."""

from pathlib import Path

import av
import numpy as np
import pytest
from videos import make_video, numbered

from data.video.pyav import plane_array
from sr.runtime.load import load_upscaler
from sr.upscale.video.decode_frames import decode_frames
from sr.upscale.video.frame_network import SerialNetwork
from sr.upscale.video.probe import probe_video
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_frame import FrameUpscaler
from sr.upscale.video.upscale_video import upscale_video

LOSSLESS = VideoUpscaleSettings(preset="ultrafast", crf=0, segment_s=0.5)


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
def test_frames_are_the_models_results_in_order(model, color_range, irs, tmp_path):
    """The video runs an IR in several inference streams; the reference runs it frame by frame."""
    said = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": color_range}

    def draw(number: int) -> np.ndarray:
        return np.ascontiguousarray(numbered(number)[40:129, 20:161])

    options = {"bf": "3", "g": "8"}
    source = make_video(tmp_path / "in.mkv", draw, 24, options=options, pixels="yuv444p", colors=said)
    output, spec = tmp_path / "out.mkv", irs.get(model, model)
    record = upscale_video(source, output, tmp_path / "store", spec, LOSSLESS)
    assert record["frames"] == 24 and (record["model"] == "bicubic") == (model == "bicubic")
    video = probe_video(source)
    network = None if model == "bicubic" else SerialNetwork(load_upscaler(spec))
    alone = FrameUpscaler(network, video, 2, "yuv444p")
    with av.open(str(output)) as made:
        for before, after in zip(decode_frames(video, False, []), made.decode(video=0), strict=True):
            assert after.color_range == color_range and (after.height, after.width) == (178, 282)
            wanted = alone(before)
            for number in range(3):
                apart = plane_array(wanted, number).astype(int) - plane_array(after, number)
                assert np.abs(apart).max() <= 1
