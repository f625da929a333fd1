"""Crops for calibration depend only on selection, split and seed, and come with their LR images."""

import numpy as np
import pytest
from selections import image_of, write_selection

from data.errors import UserError
from sr.evaluation.degradation import degrade
from sr.export.calibration import choose_crops


def _keys(selection, split="train", count=9, seed=0):
    return [crop.key for crop in choose_crops(selection, split, count, seed, 32, 2, 2)]


def test_crops_are_the_centers_of_the_selections_images(crops):
    for crop in choose_crops(crops, "train", 3, 0, patch_px=50, scale=2, size_multiple=2):
        whole = image_of(crop.key, 96)
        # 48 px: the largest multiple of 4 below 50.
        np.testing.assert_array_equal(crop.hr_image, whole[24:72, 24:72])
        np.testing.assert_array_equal(crop.lr_image, degrade(crop.hr_image, 2, "pillow-bicubic"))


def test_the_seed_sets_the_choice(crops):
    assert sorted(_keys(crops)) == ["train-0-0", "train-0-1", "train-0-2", "train-1-0", "train-1-1"]
    assert _keys(crops) == _keys(crops)
    assert _keys(crops, count=2) == _keys(crops)[:2]
    assert len({tuple(_keys(crops, seed=seed)) for seed in range(6)}) > 1
    assert all(key.startswith("validation-") for key in _keys(crops, "validation"))


def test_the_choice_does_not_depend_on_the_shards(crops, tmp_path):
    other = write_selection(tmp_path, (3, 2, 1), (1,), 96)
    common = [key for key in _keys(other) if key != "train-2-0"]
    assert common == _keys(crops)


def test_an_empty_split_is_refused(tmp_path):
    selection = write_selection(tmp_path, (1,), (), 96)
    with pytest.raises(UserError, match="split validation"):
        _keys(selection, "validation")
