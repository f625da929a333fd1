import numpy as np
import pytest

from data.errors import UserError
from data.sources.sample import SampleSource


def test_images_depend_on_the_recipe_alone():
    source = SampleSource(images=3, height_px=64, width_px=96, seed=1)
    entries = list(source.scan())
    assert [(one.height, one.width) for one in entries] == [(64, 96)] * 3
    images = {one.id: image for one, image in source.read(entries)}
    backwards = {one.id: image for one, image in source.read(entries[::-1])}
    for name, image in images.items():
        assert image.shape == (64, 96, 3) and image.dtype == np.uint8
        assert np.array_equal(image, backwards[name])
    assert not np.array_equal(images["sample-00000"], images["sample-00001"])


def test_another_seed_is_another_source():
    first, second = SampleSource(2, 64, 64, seed=0), SampleSource(2, 64, 64, seed=1)
    assert first.fingerprint() != second.fingerprint()
    assert {one.sha256 for one in first.scan()}.isdisjoint({one.sha256 for one in second.scan()})


def test_an_empty_dataset_is_refused():
    with pytest.raises(UserError, match="0 images of 64x64 pixels"):
        SampleSource(0, 64, 64)
