"""Convert colors to sRGB by the ICC profile of an image. A profile that cannot be used is ignored, with a warning."""

import functools
import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from data.exhaustion import raise_if_exhausted
from data.imaging.image_warnings import warn
from data.records import WarningReason

_LATTICE_SIDE = 9
_STRIP_ROWS = 256
_SHAREABLE = ImageCms.Flags.NOCACHE
"""For LittleCMS: without its one-pixel cache, several threads can use a transform at once."""
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
"""By Pillow's mode, the color space of the profiles that apply to it."""
_GRAY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")
_AS_SRGB = "{}; the colors count as sRGB"


def to_srgb(image: Image.Image | npt.NDArray[np.uint8], profile: bytes | None) -> npt.NDArray[np.uint8]:
    """Return an opaque image as uint8, height x width x 3, sRGB. An array in RGB is converted in place.

    Args:
        image: a Pillow image, or gray (height x width) or RGB (height x width x 3).
        profile: the ICC profile; None or empty: sRGB.
    """
    if isinstance(image, np.ndarray):
        return _array_to_srgb(image, profile)
    if image.mode in ("1", "P", "YCbCr"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    transform = _usable_transform(profile, image.mode)
    return np.asarray(ImageCms.applyTransform(image, transform) if transform else image.convert("RGB"))


def _array_to_srgb(image: npt.NDArray[np.uint8], profile: bytes | None) -> npt.NDArray[np.uint8]:
    is_gray = image.ndim == 2
    transform = _usable_transform(profile, "L" if is_gray else "RGB")
    colors = np.repeat(image[:, :, None], 3, axis=2) if is_gray else image
    if transform:
        for top in range(0, len(image), _STRIP_ROWS):
            rows = slice(top, top + _STRIP_ROWS)
            colors[rows] = np.asarray(ImageCms.applyTransform(Image.fromarray(image[rows]), transform))
    return colors


def warn_of_lost_profile(image: Image.Image) -> None:
    """Give a warning if an opened image has a profile of which Pillow returns nothing: it is empty or damaged."""
    if not image.info.get("icc_profile", True):
        warn(WarningReason.UNREADABLE_PROFILE, _AS_SRGB.format("the profile is damaged or lacks parts"))


def warn_of_profile(profile: bytes, mode: str) -> None:
    """Give a warning if an image's profile cannot be used.

    Args:
        profile: the ICC profile; empty: sRGB.
        mode: Pillow's mode of the image.
    """
    _usable_transform(profile, "L" if mode in _GRAY_MODES else "RGB")


def _usable_transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a profile to sRGB; None if none is needed, or possible, which gives a warning."""
    if not profile or mode not in _SPACES:
        return None
    transform, problem = _transform(profile, mode)
    if problem:
        warn(WarningReason.UNREADABLE_PROFILE, _AS_SRGB.format(problem))
    return transform


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, str]:
    """Return the transform from a profile to sRGB, and why there can be none.

    Most photographs have one of many sRGB profiles. They are recognized by their effect: a profile that changes no
    color of a lattice by more than one level is not applied, which is faster and changes no pixel.
    """
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = embedded.profile.xcolor_space.strip()
        if space != _SPACES[mode]:
            return None, f"the profile is for {space}, the pixels are {_SPACES[mode]}"
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(embedded, target, mode, "RGB", flags=_SHAREABLE)
    except (ImageCms.PyCMSError, OSError) as error:
        raise_if_exhausted(error)
        return None, "the profile is damaged"
    if mode == "CMYK" or not _is_srgb(transform, mode):
        return transform, ""
    return None, ""


def _is_srgb(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether a transform for gray or RGB changes no color of a lattice by more than one level."""
    levels = np.arange(256, dtype=np.uint8)[None, :]
    if mode == "L":
        lattice = np.repeat(levels[:, :, None], 3, axis=2)
        moved = np.asarray(ImageCms.applyTransform(Image.fromarray(levels), transform))
    else:
        steps = np.linspace(0, 255, _LATTICE_SIDE).round().astype(np.uint8)
        lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(_LATTICE_SIDE, -1, 3)
        moved = np.asarray(ImageCms.applyTransform(Image.fromarray(lattice), transform))
    return bool(np.abs(moved.astype(int) - lattice).max() <= 1)
