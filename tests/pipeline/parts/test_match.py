"""Crops of copies of images are found, those of other images are not."""

import cv2
import numpy as np
import pytest
from images import textured

from pipeline.parts.features import describe_crop, describe_target, restore_features
from pipeline.parts.lookup import FeatureIndex
from pipeline.parts.match import ENOUGH_INLIERS, match_crops
from pipeline.quality_metrics import rgb_to_luma

SIDE = 256


@pytest.fixture(scope="module")
def images():
    return [textured(seed, 360, 480) for seed in range(4)]


@pytest.fixture(scope="module")
def index(images):
    return FeatureIndex([describe_target(rgb_to_luma(image)) for image in images])


def jpeg(image, quality):
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(content, cv2.IMREAD_COLOR)


def collage(images):
    return np.hstack((images[0][20 : 20 + SIDE, 30 : 30 + SIDE // 2], images[1][:SIDE, : SIDE // 2][::-1]))


DISGUISES = {
    "window": lambda image: image[50 : 50 + SIDE, 100 : 100 + SIDE],
    "mirrored": lambda image: image[50 : 50 + SIDE, 100 : 100 + SIDE][:, ::-1],
    "turned": lambda image: np.rot90(image[50 : 50 + SIDE, 100 : 100 + SIDE]),
    "turned and mirrored, JPEG": lambda image: jpeg(
        np.rot90(image[60 : 60 + SIDE, 9 : 9 + SIDE])[:, ::-1].copy(), 50
    ),
    "half size with bars": lambda image: cv2.copyMakeBorder(
        cv2.resize(image, (240, 180), interpolation=cv2.INTER_AREA), 38, 38, 8, 8, cv2.BORDER_CONSTANT
    ),
    "a quarter, upscaled": lambda image: cv2.resize(
        image[100:228, 200:328], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    ),
}


def find(crops, index):
    described = [
        restore_features(describe_crop(rgb_to_luma(np.ascontiguousarray(one))), SIDE) for one in crops
    ]
    return match_crops(described, SIDE, index)


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguised_window_of_an_image_is_found_and_only_there(images, index, name):
    found = find([DISGUISES[name](image) for image in images], index)
    enough = [(one.crop, one.target) for one in found if one.inliers >= ENOUGH_INLIERS]
    assert enough == [(place, place) for place in range(4)]


def test_the_similarity_says_where_the_window_is(images, index):
    corners = np.array([0, SIDE, SIDE * 1j, SIDE + SIDE * 1j])
    upright, mirrored = (find([DISGUISES[name](images[1])], index)[0] for name in ("window", "mirrored"))
    expected = corners + 100 + 50j
    assert np.abs(upright.similarity.apply(corners) - expected).max() < 6 and not upright.similarity.mirrored
    assert np.abs(mirrored.similarity.apply(corners) - expected[[1, 0, 3, 2]]).max() < 6
    assert mirrored.similarity.mirrored
    for one in (upright, mirrored):
        assert np.abs(one.similarity.invert(one.similarity.apply(corners)) - corners).max() < 1e-6


def test_both_images_of_a_collage_are_found(images, index):
    found = find([collage(images)], index)
    assert [one.target for one in found if one.inliers >= ENOUGH_INLIERS] == [0, 1]
    assert [one.similarity.mirrored for one in found] == [False, True]


def test_crops_of_other_images_and_of_nothing_match_nothing(index):
    others = [textured(seed, SIDE, SIDE) for seed in range(10, 30)]
    blank = np.full((SIDE, SIDE, 3), 40, np.uint8)
    stripes = np.repeat(np.tile(np.uint8([20, 200]), SIDE // 2)[None, :, None], SIDE, 0).repeat(3, 2)
    assert find([*others, blank, stripes], index) == []


def test_nothing_matches_an_empty_index(images):
    assert find(images[:1] and [images[0][:SIDE, :SIDE]], FeatureIndex([])) == []


def test_batches_change_nothing(images, index):
    crops = [DISGUISES[name](image) for name in ("window", "mirrored") for image in images]
    one_by_one = [
        match._replace(crop=place) for place, crop in enumerate(crops) for match in find([crop], index)
    ]
    assert find(crops, index) == one_by_one
