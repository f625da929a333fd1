"""Bounds of the forms in float: a miss is refused with the figures, on photographs as well."""

import dataclasses

import numpy as np
import pytest

from data.errors import UserError
from sr.export.accuracy import HALF_LOSS_DB, check_parity, check_photographs
from sr.export.calibration import photographs
from sr.models.metadata import ModelMetadata

FP32 = ModelMetadata(2, 2, "rgb", "0,1", "", "realtime", "", "unknown")
FP16 = dataclasses.replace(FP32, precision="fp16")


def _doubled(lr_image: np.ndarray) -> np.ndarray:
    return lr_image.repeat(2, axis=1).repeat(2, axis=2)


def _shifted(levels: int):
    return lambda lr_image: (_doubled(lr_image).astype(int) + levels).clip(0, 255).astype(np.uint8)


def _off_in_one_pixel(lr_image: np.ndarray) -> np.ndarray:
    hr_image = _doubled(lr_image)
    hr_image[0, 20, 20, 0] ^= 2
    return hr_image


def test_photographs_are_pairs_of_one_size():
    crops = photographs(3, 4)
    assert len(crops) == 7 and [crop.key for crop in crops] == sorted(crop.key for crop in crops)
    assert {crop.hr_image.shape for crop in crops} == {(252, 252, 3)}
    assert {crop.lr_image.shape for crop in crops} == {(84, 84, 3)}


def test_fp32_is_held_to_one_level():
    found = check_photographs(_shifted(1), _doubled, FP32)
    assert (found.images, found.max_level_difference, found.bound_levels) == (7, 1, 1)
    for check, images in ((check_parity, "drawn images"), (check_photographs, "7 photographs")):
        with pytest.raises(UserError, match=f"got 2 levels, .* fp32 form, on {images}"):
            check(_off_in_one_pixel, _doubled, FP32)


def test_fp16_is_held_to_decibels_against_the_originals():
    found = check_photographs(_off_in_one_pixel, _doubled, FP16)
    assert abs(found.reference_psnr_db - found.psnr_db) < found.bound_db == HALF_LOSS_DB
    assert (found.max_level_difference, found.bound_levels) == (2, None)
    with pytest.raises(UserError, match=r"0.02 dB below .* dB against .* fp16 form, on 7 photographs"):
        check_photographs(_shifted(20), _doubled, FP16)


def test_a_form_may_be_better():
    assert check_photographs(_doubled, _shifted(20), FP16).psnr_db > 20


def test_luma_is_judged_on_luma():
    luma = dataclasses.replace(FP32, color="luma")
    assert (
        check_photographs(_doubled, _doubled, luma).psnr_db
        != check_photographs(_doubled, _doubled, FP32).psnr_db
    )
