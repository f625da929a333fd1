import cv2
import numpy as np
import pytest
from videos import numbered

from data.video.scenes import is_mixed, is_near_identical, number_scenes

RNG = np.random.default_rng(0)


def thumb(shot: int, number: int = 0) -> np.ndarray:
    return cv2.resize(numbered(number, 360, 640, shot), (64, 36), interpolation=cv2.INTER_AREA)


def mix(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    noise = RNG.normal(0, 0.7, one.shape)
    return (one * (1 - share) + other * share + noise).clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_fades_and_dissolves_are_mixtures(share):
    first, second, black = thumb(0), thumb(3), np.zeros((36, 64, 3), np.uint8)
    for one, other in ((first, second), (first, black), (black, second)):
        before, between, after = (mix(one, other, share + step) for step in (-0.15, 0, 0.15))
        assert is_mixed(before, between, after)


def test_motion_cuts_and_stills_are_not():
    moving = [thumb(0, number) for number in (0, 6, 12)]
    still = [mix(thumb(0), thumb(0), 0.5) for _ in range(3)]
    assert not is_mixed(*moving)
    assert not is_mixed(thumb(0), thumb(0), thumb(3))
    assert not is_mixed(thumb(0), thumb(2), thumb(3))
    assert not is_mixed(*still)


def test_noise_makes_no_difference_and_motion_does():
    assert is_near_identical(thumb(0), mix(thumb(0), thumb(0), 0.5))
    assert not is_near_identical(thumb(0), thumb(0, 12))
    assert not is_near_identical(thumb(0), thumb(1))


def test_a_conversation_is_one_scene_and_another_place_another():
    views = [0, 3, 0, 3, 1, 1, 2, 1]
    times_s = [10.0 * number for number in range(len(views))]
    thumbs = [thumb(view, number) for number, view in enumerate(views)]
    assert number_scenes(times_s, thumbs) == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_view_that_comes_back_after_minutes_is_another_scene():
    assert number_scenes([0.0, 10.0, 90.0], [thumb(0), thumb(3), thumb(0)]) == [0, 1, 2]


def test_a_long_chain_of_loose_likenesses_is_taken_apart_but_one_place_is_not():
    # Each view shares 61% of its pixels with any other and 20% more with the next: linked by half, not by nine tenths.
    strips = RNG.integers(0, 256, (61, 36, 13, 3), dtype=np.uint8)
    common = np.full((36, 39, 3), 90, np.uint8)
    loose = [np.concatenate([common, strips[n], strips[n + 1][:, :12]], axis=1) for n in range(60)]
    times_s = [10.0 * number for number in range(60)]
    assert len(set(number_scenes(times_s[:20], loose[:20]))) == 1
    assert len(set(number_scenes(times_s, loose))) > 10
    assert len(set(number_scenes(times_s, loose[:1] * 60))) == 1
