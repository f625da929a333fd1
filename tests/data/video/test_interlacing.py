"""Whether frames are whole is seen in the images, not in what the header says of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from videos import make_video, numbered, woven

from data.video.interlacing import look_at_fields

FLAGGED = {"x264-params": "tff=1:keyint=12"}


def whole(number: int) -> np.ndarray:
    return numbered(number)


def telecine(number: int) -> np.ndarray:
    """24 frames a second as 60 fields: two of five frames are woven from two."""
    first, second = ((0, 0), (1, 1), (1, 2), (2, 3), (3, 3))[number % 5]
    frame = numbered(number // 5 * 4 + first).copy()
    frame[1::2] = numbered(number // 5 * 4 + second)[1::2]
    return frame


def still(number: int) -> np.ndarray:
    return numbered(7)


def still_at_first(number: int) -> np.ndarray:
    return woven(max(number, 30))


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4"])
@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (whole, "but its frames look whole"),
        (woven, "and its frames are"),
        (telecine, "and its frames are"),
        (still, "and too few of its frames"),
        (still_at_first, "and its frames are"),
    ],
)
def test_fields_are_seen_in_any_container(draw: Callable[[int], np.ndarray], words, suffix, tmp_path: Path):
    fields = look_at_fields(make_video(tmp_path / f"in{suffix}", draw, 48, options=FLAGGED))
    assert words in fields.describe()
    assert (fields.is_whole, fields.is_combed) == ("whole" in words, "frames are" in words)
