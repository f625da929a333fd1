"""An enlarged film shows the colours of its source, in whatever way the source says them or does not."""

import av
import pytest
from films import make_film, numbered

from data.films.colour import describe
from sr.upscale.film.settings import FilmSettings
from sr.upscale.film.upscale_film import upscale_film

QUICK = FilmSettings(preset="ultrafast")


def first(path) -> av.VideoFrame:
    with av.open(str(path)) as film:
        return next(film.decode(video=0))


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
