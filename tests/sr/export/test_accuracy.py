"""Accuracy bounds of fp32 and fp16: an export that misses one is refused with the figures."""

import dataclasses

import numpy as np
import pytest

from data.errors import UserError
from sr.export.accuracy import MAX_FP16_LOSS_DB, check_parity, check_photographs
from sr.export.calibration import load_photographs
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


def test_photographs_are_hr_and_lr_images_of_one_size():
    crops = load_photographs(3, 4)
    assert len(crops) == 7 and [crop.key for crop in crops] == sorted(crop.key for crop in crops)
    assert {crop.hr_image.shape for crop in crops} == {(252, 252, 3)}
    assert {crop.lr_image.shape for crop in crops} == {(84, 84, 3)}


def test_fp32_may_differ_by_one_level():
    found = check_photographs(_shifted(1), _doubled, FP32)
    assert (found.images, found.max_level_difference, found.bound_levels) == (7, 1, 1)
    for check, images in ((check_parity, "generated images"), (check_photographs, "7 photographs")):
        with pytest.raises(
            UserError, match=f"fp32 model differs from the network by 2 levels .* on {images}"
        ):
            check(_off_in_one_pixel, _doubled, FP32)


def test_fp16_may_lose_a_little_psnr_against_the_originals():
    found = check_photographs(_off_in_one_pixel, _doubled, FP16)
    assert abs(found.reference_psnr_db - found.psnr_db) < found.bound_db == MAX_FP16_LOSS_DB
    assert (found.max_level_difference, found.bound_levels) == (2, None)
    with pytest.raises(
        UserError, match=r"fp16 model reaches .* the network .* 0.02 dB is allowed.* on 7 photographs"
    ):
        check_photographs(_shifted(20), _doubled, FP16)


def test_an_export_may_be_better_than_the_network():
    assert check_photographs(_doubled, _shifted(20), FP16).psnr_db > 20


def test_luma_models_are_measured_on_luma():
    luma = dataclasses.replace(FP32, color="luma")
    assert (
        check_photographs(_doubled, _doubled, luma).psnr_db
        != check_photographs(_doubled, _doubled, FP32).psnr_db
    )
