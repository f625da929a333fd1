"""Crops of different images that show the same are found, mirrored and turned too, and no others."""

import cv2
import numpy as np
import pytest
from images import textured

from pipeline.parts.features import FEATURE, describe_crop
from pipeline.selection.part_duplicates import confirm_pairs, propose_pairs

SIDE = 256


def describe(images):
    return np.stack([describe_crop(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in images])


@pytest.fixture(scope="module")
def crops():
    """Give crops of 12 images, and by name what is cut out of the first one otherwise."""
    base = textured(100, 400, 400)
    others = [textured(seed, SIDE, SIDE) for seed in range(12)]
    window = base[60 : 60 + SIDE, 60 : 60 + SIDE]
    cut = {
        "shifted": base[90 : 90 + SIDE, 110 : 110 + SIDE],
        "mirrored": window[:, ::-1],
        "turned": np.rot90(window),
        "larger": cv2.resize(base[80:280, 80:280], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC),
        "jpeg": cv2.imdecode(cv2.imencode(".jpg", window, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1),
        "corner": base[:SIDE, :SIDE][::-1, ::-1][:SIDE, :SIDE],
    }
    return others, window, cut


def duplicates(images, sources=None):
    stored = describe(images)
    pairs = propose_pairs(stored, np.arange(len(images)) if sources is None else np.array(sources))
    return {one.row: one for one in confirm_pairs(pairs, stored, SIDE)}


@pytest.mark.parametrize("name", ["shifted", "mirrored", "turned", "larger", "jpeg", "corner"])
def test_a_crop_that_shows_the_same_is_found(crops, name):
    others, window, cut = crops
    found = duplicates([*others, window, np.ascontiguousarray(cut[name])])
    assert [(row, one.like) for row, one in found.items()] == [(13, 12)]
    assert found[13].inliers >= 8 and 0.5 <= found[13].overlap <= 1


def test_crops_of_one_image_and_small_overlaps_are_kept(crops):
    others, window, cut = crops
    sources = [*range(12), 20, 20]
    assert duplicates([*others, window, cut["shifted"]], sources) == {}
    base = textured(100, 400, 400)
    assert duplicates([*others, base[:SIDE, :SIDE], base[144:, 144:]]) == {}


def test_a_pan_is_not_one_kind_from_end_to_end():
    wide = textured(5, SIDE, 1200)
    frames = [wide[:, left : left + SIDE] for left in range(0, 640, 64)]
    found = duplicates(frames)
    kept = [row for row in range(len(frames)) if row not in found]
    # Each frame that is left out shares half of itself with one that stays; those that stay share less.
    assert kept[0] == 0 and {one.like for one in found.values()} <= set(kept)
    assert all(abs(row - one.like) <= 2 for row, one in found.items())
    assert 3 <= len(kept) <= 5


def test_many_crops_of_one_thing_give_as_many_pairs():
    window = describe([textured(1, SIDE, SIDE)])[0]
    stored = np.stack([window] * 40)
    pairs = propose_pairs(stored, np.arange(40))
    assert len(pairs) == 39
    assert len(confirm_pairs(pairs, stored, SIDE)) == 39


def test_nothing_gives_nothing():
    empty = np.zeros((3, 64), FEATURE)
    assert len(propose_pairs(empty, np.arange(3))) == 0
    assert len(propose_pairs(empty[:0], np.arange(0))) == 0
