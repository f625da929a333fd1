import numpy as np
import pytest
from PIL import Image

from sr.codec_gain.halve import halve_plane
from sr.upscale.video.upscale_plane import LANCZOS, upscale_plane


def test_luma_is_halved_as_pillow_does():
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 256, (40, 48)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(plane).resize((24, 20), Image.Resampling.BICUBIC))
    inner = (slice(3, -3), slice(3, -3))  # Pillow weighs only what lies within the image
    difference = np.abs(halve_plane(plane, 255)[inner].astype(int) - expected[inner])
    assert difference.max() <= 1


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
@pytest.mark.parametrize("axis", [0, 1])
def test_chroma_comes_back_to_its_place(location, axis):
    """A ramp that is halved and upscaled again is the same ramp: a shift of 1/4 sample would be 2 levels."""
    ramp = np.tile(np.arange(0, 512, 8, dtype=np.uint16), (64, 1))
    ramp = ramp.T.copy() if axis == 0 else ramp
    half = halve_plane(ramp, 1023, (2, 2), location)
    back = upscale_plane(half, 2, 1023, (2, 2), location)
    inner = (slice(12, -12), slice(12, -12))
    assert np.abs(back[inner].astype(int) - ramp[inner]).max() <= 1


def test_lanczos_keeps_a_flat_plane_and_a_ramp():
    flat = np.full((16, 16), 77, np.uint8)
    assert (upscale_plane(flat, 2, 255, kernel=LANCZOS) == 77).all()
    ramp = np.tile(np.arange(0, 512, 8, dtype=np.uint16), (8, 1))
    wide = upscale_plane(ramp, 2, 1023, kernel=LANCZOS)[4, 16:-16]
    assert np.abs(np.diff(wide.astype(int)) - 4).max() <= 1
