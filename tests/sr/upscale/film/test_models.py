"""A film holds what its model gives for each frame, whatever kind of model and range."""

from pathlib import Path

import av
import numpy as np
import pytest
from films import make_film, numbered

from sr.upscale.film.enlarge import Enlarger
from sr.upscale.film.frames import frames_of, plane_of
from sr.upscale.film.network import PictureNetwork
from sr.upscale.film.settings import FilmSettings
from sr.upscale.film.source import inspect_film
from sr.upscale.film.upscale_film import upscale_film
from sr.upscalers import load_upscaler

LOSSLESS = FilmSettings(preset="ultrafast", crf=0, segment_s=0.5)


@pytest.fixture(scope="module")
def irs(luma_onnx, realtime_onnx, tmp_path_factory) -> dict[str, Path]:
    from sr.export.to_openvino import export_openvino

    made = {"luma": luma_onnx, "rgb": realtime_onnx}
    folder = tmp_path_factory.mktemp("irs")
    for colour, onnx in made.items():
        export_openvino(onnx, folder / colour, "fp32")
    return {colour: folder / colour for colour in made}


@pytest.mark.parametrize("colour_range", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("model", ["bicubic", "luma", "rgb"])
def test_frames_are_those_of_the_model_in_order(model, colour_range, irs, tmp_path):
    """An IR runs in several streams at once here, and frame by frame beside."""
    said = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": colour_range}

    def draw(number: int) -> np.ndarray:
        return np.ascontiguousarray(numbered(number)[40:129, 20:161])

    options = {"bf": "3", "g": "8"}
    source = make_film(tmp_path / "in.mkv", draw, 24, options=options, pixels="yuv444p", colours=said)
    output, spec = tmp_path / "out.mkv", irs.get(model, model)
    record = upscale_film(source, output, tmp_path / "store", spec, LOSSLESS)
    assert record["frames"] == 24 and (record["model"] == "bicubic") == (model == "bicubic")
    film = inspect_film(source)
    network = None if model == "bicubic" else PictureNetwork(load_upscaler(spec))
    alone = Enlarger(network, film, 2, "yuv444p")
    with av.open(str(output)) as made:
        for before, after in zip(frames_of(film, False, []), made.decode(video=0), strict=True):
            assert after.color_range == colour_range and (after.height, after.width) == (178, 282)
            wanted = alone(before)
            for number in range(3):
                apart = plane_of(wanted, number).astype(int) - plane_of(after, number)
                assert np.abs(apart).max() <= 1
