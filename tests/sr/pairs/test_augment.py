import dataclasses

import numpy as np
import pytest
import torch
from images import textured
from PIL import Image

from sr.pairs.augment import augment, cut, downscale, downscale_floats, encode_choices, margin_px
from sr.pairs.sampler import draw_samples
from sr.training.job import TrainingJob

JOB = TrainingJob("realtime-x2", "", "", batch_size=24, rotate_probability=1.0, flip_probability=0.5)


def pillow_downscale(image, scale):
    height, width = image.shape[0] // scale, image.shape[1] // scale
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.BICUBIC))


@pytest.mark.parametrize("brightness", [0.0, 1.0])
def test_patches_are_cut_turned_flipped_and_brightened_as_drawn(brightness):
    job = dataclasses.replace(JOB, brightness_probability=brightness)
    samples = draw_samples(job, 6, 0)
    crops = [textured(number, 40, 40) for number in samples.crops]
    patches = np.empty((24, 17, 17, 3), np.uint8)
    cut(crops, samples, patches)
    augmented = augment(torch.from_numpy(patches), *encode_choices(samples)).numpy()
    assert {(one, two) for one, two in zip(samples.quarter_turns, samples.flipped, strict=True)} == {
        (turns, flipped) for turns in (1, 2, 3) for flipped in (False, True)
    }
    for index, crop in enumerate(crops):
        top, left = (min(int(24 * at[index]), 23) for at in (samples.tops, samples.lefts))
        expected = np.rot90(crop[top : top + 17, left : left + 17], samples.quarter_turns[index])
        expected = expected[:, ::-1] if samples.flipped[index] else expected
        assert np.array_equal(
            augmented[index], np.rint(expected * samples.brightness[index]).clip(0, 255).astype(np.uint8)
        )


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("downscaled", [downscale, downscale_floats])
def test_downscaling_equals_pillows_to_one_level(scale, downscaled):
    images = np.stack([textured(seed, 48, 72) for seed in range(3)])
    found = downscaled(torch.from_numpy(images).permute(0, 3, 1, 2), scale).permute(0, 2, 3, 1).numpy()
    for image, own in zip(images, found, strict=True):
        assert np.abs(own - pillow_downscale(image, scale).astype(int)).max() <= 1


def test_a_margin_is_as_large_as_needed_or_as_there_is_room():
    assert margin_px(512, 64, 2) == 4
    assert margin_px(512, 64, 4, radius_px=5) == 16
    assert margin_px(68, 64, 2) == 2
    assert margin_px(64, 64, 2) == 0
