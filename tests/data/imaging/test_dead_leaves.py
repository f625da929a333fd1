"""Drawn images depend on their generator alone, and have the statistics that make photographs hard to upscale."""

import hashlib

import cv2
import numpy as np
import pytest

from data.imaging.dead_leaves import dead_leaves


def draw(seed: int, height: int = 256, width: int = 320) -> np.ndarray:
    return dead_leaves(np.random.default_rng(seed), height, width)


def test_the_same_generator_draws_the_same_image_for_any_number_of_threads():
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        alone = draw(5)
        cv2.setNumThreads(4)
        assert np.array_equal(draw(5), alone)
    finally:
        cv2.setNumThreads(threads)
    assert not np.array_equal(draw(6), alone)


def test_the_image_has_not_changed():
    """Crops depend on the drawing: if you change it, raise RECIPE_VERSION in data/sources/sample.py."""
    assert hashlib.sha256(draw(5).tobytes()).hexdigest()[:16] == "3ec7aeee0650b181"


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 700), (65, 33)])
def test_any_size_is_drawn(height, width):
    image = draw(1, height, width)
    assert (image.shape, image.dtype) == ((height, width, 3), np.uint8)


def test_the_image_depends_neither_on_numpys_global_state_nor_on_earlier_images():
    generator = np.random.default_rng(5)
    np.random.seed(0)
    first = dead_leaves(generator, 64, 64)
    np.random.seed(1)
    assert np.array_equal(dead_leaves(np.random.default_rng(5), 64, 64), first)
    assert not np.array_equal(dead_leaves(generator, 64, 64), first)


def test_the_spectrum_falls_like_that_of_photographs():
    """Natural images have power f^-2, give or take: measured between periods of 4 and 64 pixels."""
    exponents = []
    for seed in range(6):
        gray = draw(seed, 256, 256).mean(axis=2)
        window = np.outer(np.hanning(256), np.hanning(256))
        power = np.abs(np.fft.fft2((gray - gray.mean()) * window)) ** 2
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
        octaves = [(1 / 64, 1 / 32), (1 / 32, 1 / 16), (1 / 16, 1 / 8), (1 / 8, 1 / 4)]
        levels = [np.log2(power[(frequency >= low) & (frequency < high)].mean()) for low, high in octaves]
        exponents.append(-np.polyfit(range(4), levels, 1)[0])
    assert 1.4 < np.mean(exponents) < 2.8


def test_images_use_the_whole_range_of_levels_and_many_colors():
    images = [draw(seed, 128, 128) for seed in range(8)]
    assert min(image.min() for image in images) == 0
    assert max(image.max() for image in images) == 255
    assert 60 < np.mean(images) < 150
    strength = [np.ptp(image.astype(int), axis=2).mean() for image in images]
    assert max(strength) > 2 * min(strength)


def test_images_have_edges_and_quiet_places():
    gray = draw(2, 512, 512).mean(axis=2)
    steps = np.abs(np.diff(gray, axis=1))
    assert np.quantile(steps, 0.99) > 40
    assert np.quantile(steps, 0.25) < 6
