import cv2
import numpy as np
import pytest
from videos import numbered

from data.video.scenes import assign_scenes, is_near_identical, is_transition

RNG = np.random.default_rng(0)


def thumbnail(shot: int, number: int = 0) -> np.ndarray:
    return cv2.resize(numbered(number, 360, 640, shot), (64, 36), interpolation=cv2.INTER_AREA)


def mix(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    noise = RNG.normal(0, 0.7, one.shape)
    return (one * (1 - share) + other * share + noise).clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_fades_and_dissolves_are_transitions(share):
    first, second, black = thumbnail(0), thumbnail(3), np.zeros((36, 64, 3), np.uint8)
    for one, other in ((first, second), (first, black), (black, second)):
        before, between, after = (mix(one, other, share + step) for step in (-0.15, 0, 0.15))
        assert is_transition(before, between, after)


def test_motion_cuts_and_stills_are_not_transitions():
    moving = [thumbnail(0, number) for number in (0, 6, 12)]
    still = [mix(thumbnail(0), thumbnail(0), 0.5) for _ in range(3)]
    assert not is_transition(*moving)
    assert not is_transition(thumbnail(0), thumbnail(0), thumbnail(3))
    assert not is_transition(thumbnail(0), thumbnail(2), thumbnail(3))
    assert not is_transition(*still)


def test_frames_that_differ_by_noise_are_near_identical_and_by_motion_not():
    assert is_near_identical(thumbnail(0), mix(thumbnail(0), thumbnail(0), 0.5))
    assert not is_near_identical(thumbnail(0), thumbnail(0, 12))
    assert not is_near_identical(thumbnail(0), thumbnail(1))


def test_a_conversation_is_one_scene_and_another_place_is_another():
    views = [0, 3, 0, 3, 1, 1, 2, 1]
    times_s = [10.0 * number for number in range(len(views))]
    thumbs = [thumbnail(view, number) for number, view in enumerate(views)]
    assert assign_scenes(times_s, thumbs) == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_view_that_returns_after_minutes_is_another_scene():
    assert assign_scenes([0.0, 10.0, 90.0], [thumbnail(0), thumbnail(3), thumbnail(0)]) == [0, 1, 2]


def test_a_long_chain_of_weak_links_is_split_but_one_place_is_not():
    # Each view shares 61% of its pixels with any other and 20% more with the next: they are linked at a threshold
    # of 0.5, but not of 0.9.
    strips = RNG.integers(0, 256, (61, 36, 13, 3), dtype=np.uint8)
    common = np.full((36, 39, 3), 90, np.uint8)
    loose = [np.concatenate([common, strips[n], strips[n + 1][:, :12]], axis=1) for n in range(60)]
    times_s = [10.0 * number for number in range(60)]
    assert len(set(assign_scenes(times_s[:20], loose[:20]))) == 1
    assert len(set(assign_scenes(times_s, loose))) > 10
    assert len(set(assign_scenes(times_s, loose[:1] * 60))) == 1
