import cv2
import numpy as np
import pytest
from images import textured

from pipeline.opencv_threads import single_threaded_opencv
from pipeline.parts.features import (
    FEATURE,
    describe_crop,
    describe_target,
    features_per_crop,
    mirror_features,
    restore_features,
)
from pipeline.parts.signs import mirror_signs, sign_descriptors
from pipeline.quality_metrics import rgb_to_luma


def luma_of(seed, height, width):
    return rgb_to_luma(textured(seed, height, width))


def test_a_crop_of_512_pixels_takes_1280_bytes_and_a_larger_one_more_for_each_such_area():
    assert describe_crop(luma_of(0, 512, 512)).nbytes == 1280
    assert FEATURE.itemsize == 20
    assert [features_per_crop(side) for side in (64, 512, 1024)] == [64, 64, 256]


def test_features_say_where_they_are_in_pixels_of_the_crop():
    # Blurred dots: a feature lies at the center of each, and is about as large.
    image = np.full((512, 512), 128, np.float32)
    centers = [(101.0, 60.0), (401.0, 200.0)]
    for x, y in centers:
        grid_y, grid_x = np.mgrid[:512, :512]
        image += 100 * np.exp(-((grid_x + 0.5 - x) ** 2 + (grid_y + 0.5 - y) ** 2) / (2 * 12.0**2))
    found = restore_features(describe_crop(np.clip(image, 0, 255).astype(np.uint8)), 512)
    for x, y in centers:
        near = np.hypot(found.points[:, 0] - x, found.points[:, 1] - y) < 3
        assert near.any() and np.abs(2 ** found.points[near, 2] / 24 - 1).min() < 0.5


def test_an_empty_crop_has_no_features():
    stored = describe_crop(np.full((512, 512), 90, np.uint8))
    assert not stored["place"].any() and len(restore_features(stored, 512).signs) == 0


def test_the_features_of_a_mirrored_image_follow_from_those_of_the_image():
    luma = luma_of(1, 256, 256)
    ours = mirror_features(restore_features(describe_crop(luma), 256), 256)
    theirs = restore_features(describe_crop(np.ascontiguousarray(luma[:, ::-1])), 256)
    apart = np.abs(ours.points[:, None, :2] - theirs.points[None, :, :2]).max(axis=2)
    turned = np.abs(np.angle(np.exp(1j * (ours.points[:, None, 3] - theirs.points[None, :, 3]))))
    bits = np.bitwise_count(ours.signs[:, None] ^ theirs.signs[None]).sum(axis=2)
    same = (apart < 2) & (turned < 0.2)
    assert same.any(axis=1).mean() > 0.7
    assert np.median(bits[same]) < 10
    assert (
        np.median(np.bitwise_count(mirror_signs(ours.signs)[:, None] ^ theirs.signs[None]).sum(axis=2)[same])
        > 50
    )


def test_the_bits_of_descriptors_are_sums_of_whole_numbers_so_the_order_of_summing_changes_nothing():
    descriptors = np.random.default_rng(0).integers(0, 256, (50, 128)).astype(np.float32)
    together = sign_descriptors(descriptors)
    apart = np.vstack([sign_descriptors(descriptors[row : row + 1]) for row in range(50)])
    assert (together == apart).all() and together.shape == (50, 2)
    assert 0.4 < np.unpackbits(together.view(np.uint8)).mean() < 0.6


@pytest.mark.parametrize("side", [512, 96])
def test_the_same_crop_has_the_same_features_every_time(side):
    with single_threaded_opencv():
        assert (
            describe_crop(luma_of(2, side, side)).tobytes() == describe_crop(luma_of(2, side, side)).tobytes()
        )


def test_a_target_is_described_at_several_sizes():
    features = describe_target(luma_of(3, 300, 400))
    assert (
        len(features.signs) > 300 and features.points[:, 0].max() < 400 and features.points[:, 1].max() < 300
    )
    assert np.ptp(features.points[:, 2]) > 3
    assert len(describe_target(cv2.resize(luma_of(3, 64, 64), (20, 20))).signs) >= 0
