"""Encode, decode, upscale and compare a small clip, and check the figures against FFmpeg's own filters in PyAV."""

import json
from fractions import Fraction

import av
import av.filter
import numpy as np
import pytest
import torch
from videos import interlaced_video, make_video, numbered

from data.errors import UserError
from sr.codec_gain.clip import open_clip
from sr.codec_gain.compare_points import Measured
from sr.codec_gain.encode_point import EncodeSettings, encode_point
from sr.codec_gain.gain_report import write_gain
from sr.codec_gain.measure_point import measure_point
from sr.evaluation.lpips import _TRUNK_SHAPES, LINEAR, TRUNK, Lpips
from sr.upscale.video.preview import to_rgb_image

FRAMES = 6


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory):
    """A clip with B-frames, sides that are no multiple of 4, and a variable frame rate."""
    return make_video(
        tmp_path_factory.mktemp("clips") / "clip.mkv",
        lambda number: numbered(number, 182, 322),
        frames=FRAMES,
        options={"bf": "2", "crf": "4"},
        times=[0, 1, 2, 4, 5, 6],
    )


@pytest.fixture(scope="module")
def measured(clip_path, tmp_path_factory):
    """What was measured at full size, and at half size with bicubic."""
    clip, store = open_clip(clip_path), tmp_path_factory.mktemp("store")
    records = {}
    for size, upscaler in (("full", "none"), ("half", "bicubic")):
        encode_point(clip, EncodeSettings("x264", "veryfast", 30, size), store / f"e-{size}")
        directory = store / f"m-{size}"
        records[upscaler] = (directory, measure_point(clip, store / f"e-{size}", upscaler, directory, "CPU"))
    return clip, store, records


def filter_figures(first, second, name, key):
    """Return what a filter of FFmpeg says of the second of two frames."""
    graph = av.filter.Graph()
    sources = [
        graph.add_buffer(width=one.width, height=one.height, format=one.format, time_base=Fraction(1, 25))
        for one in (second, first)
    ]
    node, sink = graph.add(name), graph.add("buffersink")
    for number, source in enumerate(sources):
        source.link_to(node, 0, number)
    node.link_to(sink)
    graph.configure()
    for source, frame in zip(sources, (second, first), strict=True):
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        source.push(frame)
        source.push(None)
    return float(sink.pull().metadata[key])


def test_a_clip_is_cut_to_sides_that_can_be_halved_and_keeps_its_length(clip_path):
    clip = open_clip(clip_path)
    assert clip.cut_px == (2, 2) and (clip.half.height, clip.half.width) == (90, 160)
    assert clip.duration_s == pytest.approx(7 / 24, abs=0.002)
    assert [frame.height for frame in clip.frames()] == [180] * FRAMES


def test_figures_are_those_of_ffmpegs_filters(measured):
    clip, store, records = measured
    _, record = records["none"]
    assert record["point"]["frames"] == len(record["frames"]) == FRAMES
    with av.open(str(store / "e-full" / "stream.mkv")) as container:
        decoded = list(container.decode(video=0))
    pairs = list(zip(clip.frames(), decoded, strict=True))
    errors = [filter_figures(*pair, "psnr", "lavfi.psnr.mse.y") for pair in pairs]
    expected = 10 * np.log10(255**2 / np.mean(errors))
    assert record["mean"]["psnr_y_db"] == pytest.approx(expected, abs=0.005)
    similarities = [filter_figures(*pair, "ssim", "lavfi.ssim.Y") for pair in pairs]
    assert record["mean"]["ssim_y"] == pytest.approx(np.mean(similarities), abs=1e-5)
    assert record["frames"][0]["ssim_y"] == pytest.approx(similarities[0], abs=1e-5)


def test_xpsnr_is_that_of_the_filter(measured):
    clip, store, records = measured
    with av.open(str(store / "e-full" / "stream.mkv")) as container:
        pairs = list(zip(clip.frames(), container.decode(video=0), strict=True))
    graph = av.filter.Graph()
    first = pairs[0][0]
    sources = [
        graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=Fraction(1, 24)
        )
        for _ in range(2)
    ]
    node, sink = graph.add("xpsnr"), graph.add("buffersink")
    for number, source in enumerate(sources):
        source.link_to(node, 0, number)
    node.link_to(sink)
    graph.configure()
    figures = []
    for number, (original, other) in enumerate(pairs):
        for source, frame in zip(sources, (other, original), strict=True):
            frame.pts, frame.time_base = number, Fraction(1, 24)
            source.push(frame)
    for source in sources:
        source.push(None)
    while len(figures) < FRAMES:
        figures.append(float(sink.pull().metadata["lavfi.xpsnr.xpsnr.y"]))
    expected = -20 * np.log10(np.mean(10 ** (-np.array(figures) / 20)))
    assert records["none"][1]["mean"]["xpsnr_y_db"] == pytest.approx(expected, abs=0.01)


def test_ten_bits_and_odd_sides_are_measured_right(tmp_path):
    path = make_video(
        tmp_path / "clip.mkv",
        lambda number: numbered(number, 181, 323),
        frames=3,
        codec="ffv1",
        options={},
        pixels="yuv420p10le",
    )
    clip = open_clip(path)
    assert clip.cut_px == (1, 3) and clip.video.bit_depth == 10
    encode_point(clip, EncodeSettings("x264", "veryfast", 30, "full"), tmp_path / "e")
    record = measure_point(clip, tmp_path / "e", "none", tmp_path / "m", "CPU")
    with av.open(str(tmp_path / "e" / "stream.mkv")) as container:
        pairs = list(zip(clip.frames(), container.decode(video=0), strict=True))
    assert pairs[0][1].format.name == "yuv420p10le"
    errors = [filter_figures(*pair, "psnr", "lavfi.psnr.mse.y") for pair in pairs]
    expected = 10 * np.log10(1023**2 / np.mean(errors))
    assert record["mean"]["psnr_y_db"] == pytest.approx(expected, abs=0.005)
    similarities = [filter_figures(*pair, "ssim", "lavfi.ssim.Y") for pair in pairs]
    assert record["mean"]["ssim_y"] == pytest.approx(np.mean(similarities), abs=1e-5)


def test_lpips_is_measured_where_its_weights_are(clip_path, measured, tmp_path):
    rng = np.random.default_rng(0)
    trunk, linear = {}, {}
    for place, (number, shape) in enumerate(zip((0, 3, 6, 8, 10), _TRUNK_SHAPES, strict=True)):
        weight = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32)
        trunk |= {f"features.{number}.weight": torch.from_numpy(weight)}
        trunk |= {f"features.{number}.bias": torch.zeros(shape[0])}
        linear |= {f"lin{place}.model.1.weight": torch.full((1, shape[0], 1, 1), 0.1)}
    torch.save(trunk, tmp_path / TRUNK)
    torch.save(linear, tmp_path / LINEAR)
    clip, store, records = measured
    record = measure_point(clip, store / "e-full", "none", tmp_path / "m", "CPU", lpips_weights=tmp_path)
    mean = record["mean"]
    assert {name: mean[name] for name in records["none"][1]["mean"]} == records["none"][1]["mean"]
    lpips = Lpips(tmp_path)
    with av.open(str(store / "e-full" / "stream.mkv")) as container:
        pairs = list(zip(clip.frames(), container.decode(video=0), strict=True))[::5]
    assert len(pairs) == 2
    distances = [
        lpips.distance(lpips.features(to_rgb_image(one, clip.video)), to_rgb_image(other, clip.video))
        for one, other in pairs
    ]
    assert 0 < 1 - mean["lpips_similarity"] == pytest.approx(np.mean(distances), rel=1e-5)


def test_every_metric_is_there_and_the_larger_size_is_better(measured):
    _, _, records = measured
    full, half = records["none"][1]["mean"], records["bicubic"][1]["mean"]
    assert list(full) == list(half)
    assert set(full) == {
        "psnr_y_db", "psnr_yuv_db", "ssim_y", "ms_ssim_y", "xpsnr_y_db", "vmaf", "vmaf_neg"
    }  # fmt: skip
    assert all(full[name] > half[name] for name in ("psnr_y_db", "ssim_y", "xpsnr_y_db", "vmaf_neg"))


def test_the_report_has_curves_deltas_and_crossovers(measured, tmp_path):
    _, store, records = measured
    points = []
    for step in range(4):
        for (upscaler, (directory, record)), variant in zip(
            records.items(), ("full", "half + bicubic"), strict=True
        ):
            copy = tmp_path / f"{upscaler}-{step}"
            copy.mkdir()
            changed = json.loads(json.dumps(record))
            changed["point"]["kbps"] *= 2**step
            slope = 2.0 if upscaler == "none" else 1.0
            changed["mean"] = dict.fromkeys(record["mean"], 10 + slope * step)
            (copy / "measured.json").write_text(json.dumps(changed))
            for name in ("frame.png", "original.png"):
                (copy / name).write_bytes((directory / name).read_bytes())
            (copy / "run").mkdir()
            (copy / "run" / "timing.json").write_text('{"decode_s": 1, "upscale_s": 0}')
            encoded = store / ("e-full" if upscaler == "none" else "e-half")
            points.append(Measured("<clip>", variant, copy, encoded))
    settings = {"codec": "x264", "preset": "medium", "crfs": [1, 2, 3, 4], "half_crfs": [1, 2]}
    gain = write_gain(points, settings, {"<clip>": (2, 2)}, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "codec-gain.json").read_text()) == gain
    assert len(gain["verdicts"]) == 7 and all(line.startswith("<clip>, ") for line in gain["verdicts"])
    page = (tmp_path / "out" / "codec-gain.html").read_text()
    assert "constant rate factors 1, 2, 3, 4, at half size 1, 2:" in page
    assert "&lt;clip&gt;" in page and "<clip>" not in page and "2 rows and 2 columns are cut off" in page
    assert page.count("<svg") == 7 and page.count("data:image/png") == 3
    rows = (tmp_path / "out" / "codec-gain.csv").read_text().splitlines()
    assert len(rows) == 9 and rows[0].startswith("clip,variant,codec,preset,crf")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: make_video(path, lambda n: numbered(n, 180, 320)[:60], frames=3), "64 pixels a side"),
        (lambda path: make_video(path, frames=1), "has 1 frame"),
        (lambda path: make_video(path, frames=3, codec="ffv1", options={}, pixels="gray"), "gray of 8 bits"),
        (interlaced_video, "interlaced"),
    ],
    ids=["small", "short", "gray", "interlaced"],
)
def test_clips_that_cannot_be_compared_are_refused_in_words(make, words, tmp_path):
    with pytest.raises(UserError, match=words):
        open_clip(make(tmp_path / "clip.mkv"))
