"""An enlarged film shows the colours of its source, in whatever way the source says them or does not."""

import av
import numpy as np
import pytest
from films import PQ, make_film, numbered

from data.errors import UserError
from data.films.colour import describe
from sr.upscale.film.settings import FilmSettings
from sr.upscale.film.source import _stated_siting, _unkept, inspect_film
from sr.upscale.film.upscale_film import upscale_film

QUICK = FilmSettings(preset="ultrafast")


FULL = {"color_range": 2}
CAPTION = b"\0\0\1\x06\x04\x0e\xb5\x00\x31GA94\x03\x41\xff\xfc\x41\x42\xff\x80"
"""A message of H.264 with one pair of caption letters (ATSC A/53)."""


def first(path) -> av.VideoFrame:
    with av.open(str(path)) as film:
        return next(film.decode(video=0))


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
def test_colours_that_are_guessed_from_the_size_are_said_in_the_result(
    height, width, said, numbers, tmp_path
):
    source = make_film(tmp_path / "in.mkv", lambda n: numbered(n, height, width), 2, colours=said)
    upscale_film(source, tmp_path / "out.mkv", tmp_path / "store", "bicubic", QUICK)
    before, after = first(source), first(tmp_path / "out.mkv")
    assert describe(after).matrix == describe(before).matrix
    assert (after.colorspace, after.color_primaries, after.color_trc) == numbers


@pytest.mark.parametrize(
    ("codec", "stated", "colours", "siting"),
    [
        ("x264", "chromaloc=2", {}, "topleft"),
        ("x265", "chromaloc=1", {}, "center"),
        ("svtav1", "chromaloc=2", {}, "topleft"),
        ("x264", "", {}, "left"),
        ("x264", "", FULL, "center"),
        ("x265", "", PQ, "topleft"),
    ],
)
def test_chroma_is_said_to_lie_where_it_was_put(codec, stated, colours, siting, tmp_path):
    pixels = "yuv420p10le" if colours == PQ else "yuv420p"
    options = {"x264-params": stated} if stated else {}
    source = make_film(tmp_path / "in.mkv", small, 2, options=options, pixels=pixels, colours=colours)
    settings = FilmSettings(codec, preset="12" if codec == "svtav1" else "ultrafast")
    upscale_film(source, tmp_path / "out.mkv", tmp_path / "store", "bicubic", settings)
    assert inspect_film(source).siting == inspect_film(tmp_path / "out.mkv").siting == siting
    assert _stated_siting(tmp_path / "out.mkv") == ("" if siting == "left" else siting)


def test_what_the_pictures_carry_and_cannot_keep_is_told(tmp_path):
    plain = make_film(tmp_path / "plain.ts", small, 3)
    source = tmp_path / "in.ts"
    with av.open(str(plain)) as film, av.open(str(source), "w") as captioned:
        stream = captioned.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(video=0):
            if packet.size:
                made = av.Packet(CAPTION + bytes(packet))
                made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
                made.is_keyframe, made.stream = packet.is_keyframe, stream
                captioned.mux(made)
    record = upscale_film(source, tmp_path / "out.mkv", tmp_path / "store", "bicubic", QUICK)
    assert record["left_out"] == ["closed captions in the pictures"] and record["frames"] == 3

    dolby, frame = {"DOVI_METADATA", "DOVI_RPU_BUFFER"}, first(plain)
    with pytest.raises(UserError, match="Dolby Vision without"):
        _unkept(dolby, frame, source)
    hdr10 = first(make_film(tmp_path / "pq.mkv", small, 1, pixels="yuv420p10le", colours=PQ))
    assert _unkept(dolby, hdr10, source) == ("Dolby Vision metadata",)
