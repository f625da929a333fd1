"""An upscaled video shows the colors of its source, in whatever way the source says them or does not."""

import av
import numpy as np
import pytest
from videos import PQ, make_video, numbered

from data.errors import UserError
from data.video.color import describe
from sr.upscale.video.probe import _stated_siting, _unkept, inspect_video
from sr.upscale.video.settings import VideoSettings
from sr.upscale.video.upscale_video import upscale_video

QUICK = VideoSettings(preset="ultrafast")


FULL = {"color_range": 2}
CAPTION = b"\0\0\1\x06\x04\x0e\xb5\x00\x31GA94\x03\x41\xff\xfc\x41\x42\xff\x80"
"""A message of H.264 with one pair of caption letters (ATSC A/53)."""


def first(path) -> av.VideoFrame:
    with av.open(str(path)) as video:
        return next(video.decode(video=0))


def small(number: int) -> np.ndarray:
    return np.ascontiguousarray(numbered(number)[:96, :160])


@pytest.mark.parametrize(
    ("height", "width", "said", "numbers"),
    [
        (480, 640, {}, (6, 6, 6)),
        (576, 720, {}, (5, 5, 6)),
        (360, 640, {}, (6, 1, 1)),
        (720, 1280, {}, (1, 1, 1)),
        (480, 640, {"color_primaries": 9}, (9, 9, 14)),
        (480, 640, {"colorspace": 1}, (1, 2, 2)),
    ],
)
def test_colors_that_are_guessed_from_the_size_are_said_in_the_result(height, width, said, numbers, tmp_path):
    source = make_video(tmp_path / "in.mkv", lambda n: numbered(n, height, width), 2, colors=said)
    upscale_video(source, tmp_path / "out.mkv", tmp_path / "store", "bicubic", QUICK)
    before, after = first(source), first(tmp_path / "out.mkv")
    assert describe(after).matrix == describe(before).matrix
    assert (after.colorspace, after.color_primaries, after.color_trc) == numbers


@pytest.mark.parametrize(
    ("codec", "stated", "colors", "siting"),
    [
        ("x264", "chromaloc=2", {}, "topleft"),
        ("x265", "chromaloc=1", {}, "center"),
        ("svtav1", "chromaloc=2", {}, "topleft"),
        ("x264", "", {}, "left"),
        ("x264", "", FULL, "center"),
        ("x265", "", PQ, "topleft"),
    ],
)
def test_chroma_is_said_to_lie_where_it_was_put(codec, stated, colors, siting, tmp_path):
    pixels = "yuv420p10le" if colors == PQ else "yuv420p"
    options = {"x264-params": stated} if stated else {}
    source = make_video(tmp_path / "in.mkv", small, 2, options=options, pixels=pixels, colors=colors)
    settings = VideoSettings(codec, preset="12" if codec == "svtav1" else "ultrafast")
    upscale_video(source, tmp_path / "out.mkv", tmp_path / "store", "bicubic", settings)
    assert inspect_video(source).siting == inspect_video(tmp_path / "out.mkv").siting == siting
    assert _stated_siting(tmp_path / "out.mkv") == ("" if siting == "left" else siting)


def test_what_the_images_carry_and_cannot_keep_is_told(tmp_path):
    plain = make_video(tmp_path / "plain.ts", small, 3)
    source = tmp_path / "in.ts"
    with av.open(str(plain)) as video, av.open(str(source), "w") as captioned:
        stream = captioned.add_stream_from_template(video.streams.video[0])
        for packet in video.demux(video=0):
            if packet.size:
                made = av.Packet(CAPTION + bytes(packet))
                made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
                made.is_keyframe, made.stream = packet.is_keyframe, stream
                captioned.mux(made)
    record = upscale_video(source, tmp_path / "out.mkv", tmp_path / "store", "bicubic", QUICK)
    assert record["left_out"] == ["closed captions in the images"] and record["frames"] == 3

    dolby, frame = {"DOVI_METADATA", "DOVI_RPU_BUFFER"}, first(plain)
    with pytest.raises(UserError, match="Dolby Vision without"):
        _unkept(dolby, frame, source)
    hdr10 = first(make_video(tmp_path / "pq.mkv", small, 1, pixels="yuv420p10le", colors=PQ))
    assert _unkept(dolby, hdr10, source) == ("Dolby Vision metadata",)
