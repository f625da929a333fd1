"""int8 calibrates on any images: no image both calibrates and measures, and the choice depends on names and seed."""

import numpy as np
import pytest
from images import textured

from data.errors import UserError
from sr.evaluation.degradation import degrade
from sr.export.int8_crops import BOX, ImageSet, choose_int8_crops
from sr.export.settings import Int8Settings
from sr.export.to_openvino import export_openvino
from sr.models.metadata import ModelMetadata

RGB = ModelMetadata(2, 2, "rgb", "0,1", "p", "realtime", "0", "MIT")
SETTINGS = Int8Settings(calibration_crops=6, held_out_crops=3, patch_px=32)


def _images(count: int, height: int = 40, width: int = 56, reads: list | None = None) -> ImageSet:
    def load(at: int):
        def read() -> np.ndarray:
            if reads is not None:
                reads.append(at)
            return textured(at, height, width)

        return read

    return ImageSet("photos", {f"{at}.png": load(at) for at in range(count)})


def _names(crops) -> set[str]:
    return {crop.key.partition("#")[0] for crop in crops}


@pytest.mark.parametrize("count", [2, 5, 9, 40])
def test_no_image_both_calibrates_and_measures(count):
    crops = choose_int8_crops(_images(count), SETTINGS, RGB)
    assert (len(crops.calibration), len(crops.ranking), len(crops.held_out)) == (6, 3, 3)
    assert not _names(crops.held_out) & (_names(crops.calibration) | _names(crops.ranking))
    every = [*crops.calibration, *crops.ranking, *crops.held_out]
    assert len({crop.key for crop in every}) == 12 and crops.origin == "photos"
    for crop in every:
        assert crop.hr_image.shape == (32, 32, 3)
        np.testing.assert_array_equal(crop.lr_image, degrade(crop.hr_image, 2, "pillow-bicubic"))


def test_only_the_images_that_are_used_are_read_and_the_seed_chooses_them():
    reads: list = []
    first = choose_int8_crops(_images(200, reads=reads), SETTINGS, RGB)
    assert len(reads) == len(set(reads)) == 12
    assert [crop.key for crop in first.calibration] == [
        crop.key for crop in choose_int8_crops(_images(200), SETTINGS, RGB).calibration
    ]
    other = choose_int8_crops(_images(200), Int8Settings(6, 3, 32, seed=1), RGB)
    assert _names(other.calibration) != _names(first.calibration)


def test_a_luma_network_gets_crops_of_luma_and_small_images_smaller_crops():
    luma = ModelMetadata(2, 2, "luma", "0,1", "p", "realtime", "0", "MIT")
    crops = choose_int8_crops(_images(3, height=26), SETTINGS, luma)
    assert crops.held_out[0].hr_image.shape == (24, 24, 1)


@pytest.mark.parametrize(("count", "height", "words"), [(1, 40, "has 1"), (0, 40, "has 0"), (4, 3, "56x3")])
def test_too_few_or_too_small_images_are_refused(count, height, words):
    with pytest.raises(UserError, match=words):
        choose_int8_crops(_images(count, height=height), SETTINGS, RGB)


def test_without_images_the_photographs_in_the_box_calibrate(realtime_onnx, tmp_path):
    settings = Int8Settings(calibration_crops=4, held_out_crops=2, patch_px=64, int8_loss_db=50)
    record = export_openvino(realtime_onnx, tmp_path, "int8", settings=settings)
    assert record["calibration"]["source"] == BOX and record["accuracy"]["crops"] == 2
    assert any(
        key.startswith("astronaut.png#")
        for key in [*record["calibration"]["keys"], *record["accuracy"]["keys"]]
    )
