"""A video that changes midway: nothing is squeezed, every change is said and counted, and times and counts stay."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from odd_videos import check_plays, decoded_times
from PIL import Image
from videos import make_video

from data.records import Rejection, RejectionReason
from data.sources.video import VideoSource
from data.video.sampling_settings import FrameSamplingSettings
from sr.upscale.video.preview import preview_video
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import upscale_video

QUICK = VideoUpscaleSettings(preset="ultrafast", crf=4)
PART = 12
"""Frames of each part."""


def square(height: int, width: int, aspect: Fraction = Fraction(1)) -> np.ndarray:
    """Draw a white square in the middle of a gray frame, as wide as high when pixels have an aspect."""
    frame = np.full((height, width, 3), 110, np.uint8)
    half_height, half_width = 20, round(20 / aspect)
    frame[
        height // 2 - half_height : height // 2 + half_height,
        width // 2 - half_width : width // 2 + half_width,
    ] = 255
    return frame


def joined(path: Path, *parts: dict) -> Path:
    """Encode parts of `PART` frames, each by an encoder of its own, into one stream whose times go on.

    Each part: size, and where they are not the defaults: codec, pixels, aspect, color_range, options.
    """
    with av.open(str(path), "w") as video:
        stream = None
        for number, part in enumerate(parts):
            codec = part.get("codec", "libx264")
            encoder = av.CodecContext.create(codec, "w")
            encoder.height, encoder.width = part["size"]
            encoder.pix_fmt = part.get("pixels", "yuv420p")
            encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
            encoder.sample_aspect_ratio = part.get("aspect", Fraction(1))
            encoder.color_range, encoder.colorspace = part.get("color_range", 1), 6
            encoder.options = part.get("options", {"bf": "2", "preset": "ultrafast"})
            encoder.thread_count = 1
            if stream is None:
                stream = video.add_stream(codec, rate=25)
                stream.height, stream.width, stream.pix_fmt = *part["size"], encoder.pix_fmt
                stream.codec_context.sample_aspect_ratio = encoder.sample_aspect_ratio
            drawn = square(*part["size"], part.get("aspect", Fraction(1)))
            frame = av.VideoFrame.from_ndarray(drawn, "rgb24")
            packets = []
            for count in range(PART):
                one = frame.reformat(format=encoder.pix_fmt, dst_color_range=part.get("color_range", 1))
                one.pts, one.time_base = number * PART + count, Fraction(1, 25)
                packets += encoder.encode(one)
            for packet in [*packets, *encoder.encode(None)]:
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                video.mux(packet)
    return path


def shown(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as video:
        return [one.to_ndarray(format="rgb24")[..., 1].astype(int) for one in video.decode(video=0)]


def box(frame: np.ndarray, above: int) -> tuple[int, int, int, int]:
    """Return top, left, height and width of what is brighter than a level."""
    rows, columns = (np.flatnonzero((frame > above).mean(axis=axis) > 0.05) for axis in (1, 0))
    return int(rows[0]), int(columns[0]), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def upscale(
    source: Path, tmp_path: Path, settings: VideoUpscaleSettings = QUICK
) -> tuple[dict, list[np.ndarray]]:
    output = tmp_path / "out.mkv"
    record = upscale_video(source, output, tmp_path / "store", "bicubic", settings)
    wanted = decoded_times(source)
    times = check_plays(output)
    assert len(times) == len(wanted) and all(
        abs(one - wanted[0] - other + times[0]) <= Fraction(1, 500)
        for one, other in zip(wanted, times, strict=True)
    )
    return record, shown(output)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ((96, 160), (160, 96), (0, 102, 192, 116)),  # a phone is turned
        ((160, 96), (96, 160), (102, 0, 116, 192)),  # and the other way
        ((96, 160), (96, 128), (0, 32, 192, 256)),
        ((96, 160), (192, 320), (0, 0, 192, 320)),  # twice the size fills it
    ],
)
@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_other_sizes_keep_their_aspect_between_black_bars(first, second, wanted, suffix, tmp_path):
    codec = (
        {} if suffix == ".ts" else {"codec": "mjpeg", "pixels": "yuvj420p", "color_range": 2, "options": {}}
    )
    source = joined(tmp_path / f"in{suffix}", {"size": first} | codec, {"size": second} | codec)
    record, frames = upscale(source, tmp_path)
    assert record["changes"] == [
        f"12 frames from 0.48 s on are {second[1]}x{second[0]} instead of {first[1]}x{first[0]}"
        " (scaled to fit, between black bars where they do not fill it)"
    ]
    assert record["frames"] == 2 * PART and not record["rejections"]
    before, after = frames[PART // 2], frames[PART + PART // 2]
    assert box(before, 60) == (0, 0, first[0] * 2, first[1] * 2)
    assert np.abs(np.array(box(after, 60)) - wanted).max() <= 2
    _, _, height, width = box(after, 190)
    assert abs(height - width) <= 3, "the square is one"
    top, left, *_ = wanted
    assert after[: max(top - 4, 0)].size == 0 or after[: max(top - 4, 0)].max() < 12
    assert after[:, : max(left - 4, 0)].size == 0 or after[:, : max(left - 4, 0)].max() < 12


def test_each_change_is_counted_and_a_return_needs_none(tmp_path):
    source = joined(
        tmp_path / "in.ts", *({"size": size} for size in ((96, 160), (160, 96), (96, 160), (96, 96)))
    )
    record, frames = upscale(source, tmp_path)
    assert [one.partition(" instead")[0] for one in record["changes"]] == [
        "12 frames from 0.48 s on are 96x160",
        "12 frames from 1.44 s on are 96x96",
    ]
    assert box(frames[2 * PART + 5], 60) == (0, 0, 192, 320)


def test_another_pixel_aspect_changes_the_width(tmp_path):
    """A broadcast goes from 16:9 to 4:3 in the same number of pixels."""
    wide, narrow = Fraction(64, 45), Fraction(16, 15)
    mpeg = {"codec": "mpeg2video", "size": (144, 180), "options": {"b": "4000000", "g": "12"}}
    source = joined(tmp_path / "in.ts", mpeg | {"aspect": wide}, mpeg | {"aspect": narrow})
    record, frames = upscale(source, tmp_path)
    (change,) = record["changes"]
    assert "have pixels 0.750 times as wide" in change
    _, left, height, width = box(frames[-3], 60)
    assert (height, abs(left - 45) <= 3, abs(width - 270) <= 4) == (288, True, True)
    _, _, height, width = box(frames[-3], 190)
    assert abs(height - width * wide) <= 4, "the square is one with the first aspect, which the result states"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (({}, {"color_range": 2}), "have range full instead of limited (converted)"),
        (({"color_range": 2}, {}), "have range limited instead of full (converted)"),
        (({}, {"pixels": "yuv444p"}), "have chroma 444 instead of 420 (converted)"),
        (
            ({"pixels": "yuv422p10le"}, {}),
            "have chroma 420 instead of 422 and have bits 8 instead of 10 (converted)",
        ),
    ],
)
def test_another_format_or_range_keeps_the_levels(parts, words, tmp_path):
    # Without B-frames: FFmpeg gives the new range to frames that it still holds back, too.
    plain = {"size": (96, 160), "options": {"bf": "0", "preset": "ultrafast", "tune": "zerolatency"}}
    source = joined(tmp_path / "in.ts", *(plain | part for part in parts))
    record, frames = upscale(source, tmp_path)
    (change,) = record["changes"]
    assert change == f"12 frames from 0.48 s on {words}"
    assert np.abs(frames[PART // 2] - frames[PART + PART // 2]).mean() < 1.5
    assert box(frames[-2], 60) == (0, 0, 192, 320)


@pytest.mark.parametrize("orientations", [(6, 1), (1, 6), (1, 8), (6, 8)])
def test_frames_that_are_turned_otherwise_stand_upright(orientations, tmp_path):
    source = tmp_path / "in.mkv"
    drawn = np.full((96, 160, 3), 110, np.uint8)
    drawn[:30, :30] = 255  # a corner, as it is shown
    with av.open(str(source), "w") as video:
        stream = video.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
        for number in range(2 * PART):
            orientation = orientations[number // PART]
            content, exif = io.BytesIO(), Image.Exif()
            exif[274] = orientation
            stored = np.rot90(drawn, {1: 0, 6: 1, 8: -1}[orientation])
            Image.fromarray(np.ascontiguousarray(stored)).save(content, "JPEG", exif=exif, quality=95)
            packet = av.Packet(content.getvalue())
            packet.pts = packet.dts = number * 40
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 1000), stream, True
            video.mux(packet)
    record, frames = upscale(source, tmp_path)
    (change,) = record["changes"]
    assert change.startswith("12 frames from 0.48 s on are") and "turned by" in change
    with av.open(str(tmp_path / "out.mkv")) as video:
        turns = next(video.decode(video=0)).rotation // 90
    for frame in (frames[3], frames[-3]):
        upright = np.rot90(frame, turns)
        top, left, height, width = box(upright, 190)
        outer_top, outer_left, *_ = box(upright, 60)
        assert abs(top - outer_top) <= 3 and abs(left - outer_left) <= 3 and abs(height - width) <= 4


def test_deinterlacing_goes_on_over_a_change_of_size(tmp_path):
    source = joined(
        tmp_path / "in.ts",
        *(
            {"size": size, "options": {"x264-params": "tff=1", "preset": "ultrafast", "bf": "0"}}
            for size in ((96, 160), (160, 96))
        ),
    )
    settings = VideoUpscaleSettings(preset="ultrafast", deinterlace=True)
    record, frames = upscale(source, tmp_path, settings)
    assert record["frames"] == 2 * PART and len(record["changes"]) == 1
    assert abs(box(frames[-3], 60)[3] - 116) <= 2


def test_marks_of_interlacing_that_come_later_are_reported(tmp_path):
    plain = {"size": (96, 160), "options": {"preset": "ultrafast", "bf": "0"}}
    marked = {"size": (96, 160), "options": {"x264-params": "tff=1", "preset": "ultrafast", "bf": "0"}}
    source = joined(tmp_path / "in.ts", *[plain] * 10, marked)
    record, _ = upscale(source, tmp_path)
    (change,) = record["changes"]
    assert change.startswith("12 frames from 4.80 s on are marked as interlaced (taken as they are")
    deinterlaced = VideoUpscaleSettings(preset="ultrafast", deinterlace=True)
    record = upscale_video(source, tmp_path / "whole.mkv", tmp_path / "other", "bicubic", deinterlaced)
    assert record["changes"] == [] and record["frames"] == 11 * PART


def test_a_preview_squeezes_nothing(tmp_path):
    source = joined(tmp_path / "in.ts", {"size": (96, 160)}, {"size": (160, 96)})
    names = preview_video(source, tmp_path / "preview", "bicubic", 4, QUICK)
    widths = []
    for name in names:
        image = np.asarray(Image.open(tmp_path / "preview" / name))[..., 1].astype(int)
        widths.append(box(image[:, : image.shape[1] // 2], 60)[3])
    assert len(names) == 4 and {round(one / 10) for one in widths} == {32, 12}


def test_crops_come_from_no_squeezed_frame(tmp_path):
    """The frames of the other size are rejected, each with its size; those before them are used."""
    parts = [{"size": (96, 160)}, {"size": (160, 96)}]
    source = joined(tmp_path / "in.ts", *parts)
    found = list(VideoSource(source, FrameSamplingSettings(0.1, 0.1, 0.1)).scan())
    other = [one for one in found if isinstance(one, Rejection) and "in a video of" in one.detail]
    assert len(other) >= 3 and {one.reason for one in other} == {RejectionReason.UNSUPPORTED}
    assert {one.detail for one in other} == {"96x160 in a video of 160x96"}
    entries = [one for one in found if not isinstance(one, Rejection)]
    assert entries and all(one.width <= 160 and one.height <= 96 for one in entries)


def test_an_ordinary_video_has_no_changes(tmp_path):
    source = make_video(tmp_path / "in.mkv", lambda number: square(96, 160), 5)
    assert upscale(source, tmp_path)[0]["changes"] == []
