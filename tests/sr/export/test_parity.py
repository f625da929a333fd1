"""Parity counts every differing value, on images that are always the same."""

import numpy as np
import pytest

from sr.export.parity import compare_outputs, make_test_batches


def test_images_are_always_the_same_and_fit_the_network():
    first, second = make_test_batches(2), make_test_batches(2)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    for batch in make_test_batches(8):
        assert batch.dtype == np.uint8
        assert batch.shape[1] % 8 == batch.shape[2] % 8 == 0
    assert {len(batch) for batch in first} == {1, 2, 3}


def test_images_have_black_white_and_most_levels_between():
    values = np.concatenate([batch.ravel() for batch in make_test_batches(1)])
    assert values.min() == 0 and values.max() == 255
    assert len(np.unique(values)) > 250


def test_differences_are_counted():
    batch = np.full((1, 10, 10, 3), 100, np.uint8)
    changed = batch.copy()
    changed[0, 0, 0, 0], changed[0, 5, 5, 2] = 103, 99
    parity = compare_outputs(lambda lr_image: lr_image, lambda lr_image: changed, [batch])
    assert (parity.images, parity.max_level_difference) == (1, 3)
    assert parity.differing_share == pytest.approx(2 / 300, abs=1e-8)
    assert parity.psnr_db == pytest.approx(10 * np.log10(255**2 / (10 / 300)), abs=1e-4)


def test_equal_results_have_no_psnr():
    parity = compare_outputs(lambda lr_image: lr_image, np.copy, make_test_batches(1))
    assert (parity.max_level_difference, parity.differing_share, parity.psnr_db) == (0, 0.0, None)


def test_results_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        compare_outputs(lambda lr_image: lr_image, lambda lr_image: lr_image[:, 1:], make_test_batches(1))
