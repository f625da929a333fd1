import io

import numpy as np
import pytest
from images import textured
from PIL import Image

from data.imaging.decode import decode, probe
from data.imaging.encode import PNG_EFFORTS, encode_jpeg, encode_png

PIXELS = textured(1, 48, 80)


def test_png_is_lossless_and_repeatable():
    assert np.array_equal(decode(encode_png(PIXELS)), PIXELS)
    assert encode_png(PIXELS) == encode_png(PIXELS.copy())
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(PIXELS)))), PIXELS)


def test_jpeg_is_close_and_keeps_full_color_resolution():
    content = encode_jpeg(PIXELS, quality=95)
    assert np.abs(decode(content).astype(int) - PIXELS).mean() < 4
    assert Image.open(io.BytesIO(content)).layer[0][1:3] == (1, 1)
    assert probe(content).lossy


@pytest.mark.parametrize("effort", PNG_EFFORTS)
def test_every_effort_is_lossless_and_repeatable(effort):
    content = encode_png(PIXELS, effort)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), PIXELS)
    assert encode_png(PIXELS.copy(), effort) == content


def test_views_of_larger_arrays_are_encoded_correctly():
    content = PIXELS.tobytes()
    whole = np.ndarray(PIXELS.shape, np.uint8, content)
    lower = np.ndarray((24, 80, 3), np.uint8, content, offset=24 * 80 * 3)
    mirrored = whole[:, ::-1]
    for image in (whole, lower, mirrored, whole[4:40, 10:70]):
        assert np.array_equal(decode(encode_png(image)), image)
