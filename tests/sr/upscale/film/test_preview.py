"""The preview's pictures are the film's frames, as a player shows them."""

from pathlib import Path

import numpy as np
import pytest
from films import interlaced_film
from odd_films import make_odd_film
from PIL import Image

from data.errors import UserError
from data.files import read_json
from sr.upscale.film.frames import frames_of
from sr.upscale.film.preview import _turned, preview_film
from sr.upscale.film.settings import FilmSettings
from sr.upscale.film.source import inspect_film


def halves(path: Path) -> list[np.ndarray]:
    with Image.open(path) as picture:
        return np.split(np.asarray(picture).astype(int), 2, axis=1)


def test_pictures_are_spread_and_stand_as_the_film_is_shown(tmp_path):
    """4:3 pixels, turned by a quarter to the right."""
    source = make_odd_film(tmp_path / "in.mkv", 40)
    names = preview_film(source, tmp_path / "out", "bicubic", 2, FilmSettings())
    record = read_json(tmp_path / "out" / "preview.json")
    assert names == record["pictures"] == sorted(one.name for one in (tmp_path / "out").glob("*.png"))
    film = inspect_film(source)
    frames = {float((one.pts - film.first) * film.time_base): one for one in frames_of(film, False, [])}
    for name, share in zip(names, (0.25, 0.75), strict=True):
        at_s = float(name.removesuffix("s.png"))
        assert abs(at_s - share * max(frames)) < 0.05
        left, right = halves(tmp_path / "out" / name)
        assert left.shape == (round(160 * 2 * 4 / 3), 96 * 2, 3) and np.array_equal(left, right)
        wanted = np.rot90(frames[at_s].to_ndarray(format="rgb24"), -1)
        wanted = np.asarray(Image.fromarray(wanted).resize((192, 427), Image.Resampling.BICUBIC))
        assert np.abs(left - wanted).mean() < 4
    with pytest.raises(UserError, match="--preview"):
        preview_film(source, tmp_path / "out", "bicubic", 0, FilmSettings())


def test_interlaced_films_are_shown_deinterlaced(tmp_path):
    source = interlaced_film(tmp_path / "in.mkv")
    (name,) = preview_film(source, tmp_path / "out", "bicubic", 1, FilmSettings(deinterlace=True))
    film = inspect_film(source, deinterlace=True)
    at = film.first + round(float(name.removesuffix("s.png")) / film.time_base)
    whole = next(one for one in frames_of(film, True, []) if abs(one.pts - at) <= 1)
    shown = halves(tmp_path / "out" / name)[0][::2, ::2, 0]
    assert np.abs(shown - whole.to_ndarray(format="rgb24")[..., 0]).mean() < 8
    assert np.abs(np.diff(shown, axis=0)).mean() < 1, "no combs"


@pytest.mark.parametrize(
    ("matrix", "corners"),
    [
        ((), [[1, 2], [3, 4]]),
        ((0, 1, 0, -1, 0), [[3, 1], [4, 2]]),
        ((-1, 0, 0, 0, -1), [[4, 3], [2, 1]]),
        ((0, -1, 0, 1, 0), [[2, 4], [1, 3]]),
        ((-1, 0, 0, 0, 1), [[2, 1], [4, 3]]),
    ],
    ids=["not", "right", "half", "left", "mirrored"],
)
def test_turning(matrix, corners):
    picture = np.array([[1, 2], [3, 4]])[..., None]
    assert np.array_equal(_turned(picture, tuple(one << 16 for one in matrix))[..., 0], corners)
