"""Convert colors to sRGB by the ICC profile of an image. A profile that cannot be used is ignored."""

import functools
import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from data.exhaustion import raise_if_exhausted

_LATTICE_SIDE = 9
_STRIP_ROWS = 256
_SHAREABLE = ImageCms.Flags.NOCACHE
"""For LittleCMS: without its one-pixel cache, several threads can use a transform at once."""
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
"""By Pillow's mode, the color space of the profiles that apply to it."""


def to_srgb(image: Image.Image | npt.NDArray[np.uint8], profile: bytes | None) -> npt.NDArray[np.uint8]:
    """Return an opaque image as uint8, height x width x 3, sRGB. An array in RGB is converted in place.

    Args:
        image: a Pillow image, or gray (height x width) or RGB (height x width x 3).
        profile: the ICC profile; None or empty: sRGB.
    """
    if isinstance(image, np.ndarray):
        return _array_to_srgb(image, profile)
    if image.mode in ("1", "P"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    transform = _transform(profile, image.mode) if profile and image.mode in _SPACES else None
    return np.asarray(ImageCms.applyTransform(image, transform) if transform else image.convert("RGB"))


def _array_to_srgb(image: npt.NDArray[np.uint8], profile: bytes | None) -> npt.NDArray[np.uint8]:
    is_gray = image.ndim == 2
    transform = _transform(profile, "L" if is_gray else "RGB") if profile else None
    colors = np.repeat(image[:, :, None], 3, axis=2) if is_gray else image
    if transform:
        for top in range(0, len(image), _STRIP_ROWS):
            rows = slice(top, top + _STRIP_ROWS)
            colors[rows] = np.asarray(ImageCms.applyTransform(Image.fromarray(image[rows]), transform))
    return colors


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a profile to sRGB; None if the profile is sRGB already, or cannot be used.

    Most photographs have one of many sRGB profiles. They are recognized by their effect: a profile that changes no
    color of a lattice by more than one level is not applied, which is faster and changes no pixel. A profile that is
    damaged, or is for another kind of image, says nothing about the colors.
    """
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if embedded.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(embedded, target, mode, "RGB", flags=_SHAREABLE)
    except (ImageCms.PyCMSError, OSError) as error:
        raise_if_exhausted(error)
        return None
    if mode == "CMYK":
        return transform
    levels = np.arange(256, dtype=np.uint8)[None, :]
    if mode == "L":
        lattice = np.repeat(levels[:, :, None], 3, axis=2)
        moved = np.asarray(ImageCms.applyTransform(Image.fromarray(levels), transform))
    else:
        steps = np.linspace(0, 255, _LATTICE_SIDE).round().astype(np.uint8)
        lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(_LATTICE_SIDE, -1, 3)
        moved = np.asarray(ImageCms.applyTransform(Image.fromarray(lattice), transform))
    is_srgb = np.abs(moved.astype(int) - lattice).max() <= 1
    return None if is_srgb else transform
