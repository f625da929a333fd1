"""An upscaled video shows the colors of its source, whether the source states them or not."""

import av
import numpy as np
import pytest
from videos import PQ, make_video, numbered

from data.errors import UserError
from data.video.color import read_color_info
from sr.upscale.video.probe import _dropped_metadata, _stated_chroma_location, probe_video
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import upscale_video

QUICK = VideoUpscaleSettings(preset="ultrafast")


FULL = {"color_range": 2}
CAPTION = b"\0\0\1\x06\x04\x0e\xb5\x00\x31GA94\x03\x41\xff\xfc\x41\x42\xff\x80"
"""An H.264 SEI message with one pair of caption letters (ATSC A/53)."""


def first(path) -> av.VideoFrame:
    with av.open(str(path)) as video:
        return next(video.decode(video=0))


def small(number: int) -> np.ndarray:
    return np.ascontiguousarray(numbered(number)[:96, :160])


@pytest.mark.parametrize(
    ("height", "width", "stated_tags", "numbers"),
    [
        (480, 640, {}, (6, 6, 6)),
        (576, 720, {}, (5, 5, 6)),
        (360, 640, {}, (6, 1, 1)),
        (720, 1280, {}, (1, 1, 1)),
        (480, 640, {"color_primaries": 9}, (9, 9, 14)),
        (480, 640, {"colorspace": 1}, (1, 2, 2)),
    ],
)
def test_unspecified_colors_are_stated_in_the_result(height, width, stated_tags, numbers, tmp_path):
    source = make_video(tmp_path / "in.mkv", lambda n: numbered(n, height, width), 2, colors=stated_tags)
    upscale_video(source, tmp_path / "out.mkv", tmp_path / "store", "bicubic", QUICK)
    before, after = first(source), first(tmp_path / "out.mkv")
    assert read_color_info(after).matrix == read_color_info(before).matrix
    assert (after.colorspace, after.color_primaries, after.color_trc) == numbers


@pytest.mark.parametrize(
    ("codec", "stated", "colors", "chroma_location"),
    [
        ("x264", "chromaloc=2", {}, "topleft"),
        ("x265", "chromaloc=1", {}, "center"),
        ("svtav1", "chromaloc=2", {}, "topleft"),
        ("x264", "", {}, "left"),
        ("x264", "", FULL, "center"),
        ("x265", "", PQ, "topleft"),
    ],
)
def test_the_chroma_location_is_kept(codec, stated, colors, chroma_location, tmp_path):
    pixels = "yuv420p10le" if colors == PQ else "yuv420p"
    options = {"x264-params": stated} if stated else {}
    source = make_video(tmp_path / "in.mkv", small, 2, options=options, pixels=pixels, colors=colors)
    settings = VideoUpscaleSettings(codec, preset="12" if codec == "svtav1" else "ultrafast")
    upscale_video(source, tmp_path / "out.mkv", tmp_path / "store", "bicubic", settings)
    assert (
        probe_video(source).chroma_location
        == probe_video(tmp_path / "out.mkv").chroma_location
        == chroma_location
    )
    assert _stated_chroma_location(tmp_path / "out.mkv") == (
        "" if chroma_location == "left" else chroma_location
    )


def test_frame_metadata_that_cannot_be_kept_is_reported(tmp_path):
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
    assert record["not_copied"] == ["closed captions in the images"] and record["frames"] == 3

    dolby, frame = {"DOVI_METADATA", "DOVI_RPU_BUFFER"}, first(plain)
    with pytest.raises(UserError, match="Dolby Vision without an HDR10"):
        _dropped_metadata(dolby, frame, source)
    hdr10 = first(make_video(tmp_path / "pq.mkv", small, 1, pixels="yuv420p10le", colors=PQ))
    assert _dropped_metadata(dolby, hdr10, source) == ("Dolby Vision metadata",)
