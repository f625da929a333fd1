"""Write animated images: GIF, APNG and WebP. Every frame is kept, with its duration, and so is how often they play."""

import dataclasses
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from data.imaging.animation import Animation
from data.imaging.original import OriginalImage

ANIMATED_SUFFIXES = (".gif", ".png", ".webp")
"""Suffixes, as `format_of_suffix` returns them, of formats that can be animations."""
_OPAQUE_FROM = 128
"""A pixel of a GIF is visible or not; from this alpha on it is."""
_GIF_COLORS, _TRANSPARENT = 255, 255
"""Colors of a GIF's frame, and the palette's last index, which is kept for transparency."""

_Frames = list[tuple[npt.NDArray[np.uint8], float]]
"""Frames of height x width x 3 (RGB), 4 (RGBA), 1 (gray) or 2 (gray and alpha), each with its duration in ms."""


@dataclasses.dataclass(frozen=True)
class _Still(Animation):
    """A still image as an animation of one frame."""

    image: OriginalImage

    def frames(self) -> Iterator[tuple[OriginalImage, float]]:
        yield self.image, 0


def still_as_animation(image: OriginalImage) -> Animation:
    """Return a still image as an animation of one frame, so that it can be written as a GIF."""
    height, width = image.colors.shape[:2]
    return _Still("PNG", width, height, 1, 1, False, image.is_lossless_webp, b"", image)


def write_animation(
    suffix: str, file: IO[bytes], animation: Animation, frames: _Frames, quality: int
) -> None:
    """Write upscaled frames as an animation.

    Args:
        suffix: one of ANIMATED_SUFFIXES.
        file: open for writing, at its start.
        animation: the original: how often it plays, and whether its first frame is only the default image.
        frames: what was made of its frames.
        quality: of WebP, 1 to 100, unless the original is without loss.
    """
    has_default = animation.has_default_image and suffix == ".png"
    if animation.has_default_image and not has_default:
        frames = frames[1:]
    has_alpha = any(pixels.shape[2] in (2, 4) for pixels, _ in frames)
    images = [_to_image(pixels, "RGBA" if has_alpha else "RGB") for pixels, _ in frames]
    durations = [duration for _, duration in frames[has_default:]]
    options: dict[str, Any] = {"loop": animation.plays}
    if suffix == ".gif":
        images = [_to_palette(image, has_alpha) for image in images]
        options = {} if animation.plays == 1 else {"loop": max(animation.plays - 1, 0)}
        options |= {"disposal": 2, "transparency": _TRANSPARENT} if has_alpha else {"disposal": 1}
    elif suffix == ".webp":
        durations = [round(duration) for duration in durations]
        # Without loss, as GIF and APNG are.
        options |= {"lossless": True, "exact": True} if animation.is_lossless else {"quality": quality}
    else:
        options |= {"default_image": has_default, "disposal": 0, "blend": 0}
    first, others = images[0], images[1:]
    first.save(
        file, {".gif": "GIF", ".png": "PNG", ".webp": "WEBP"}[suffix],
        save_all=True, append_images=others, duration=durations, **options,
    )  # fmt: skip


def _to_image(pixels: npt.NDArray[np.uint8], mode: str) -> Image.Image:
    channels = pixels.shape[2]
    stored = Image.fromarray(
        pixels[:, :, 0] if channels == 1 else pixels, {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    )
    return stored if stored.mode == mode else stored.convert(mode)


def _to_palette(image: Image.Image, has_alpha: bool) -> Image.Image:
    """Choose a palette for a frame and dither it; invisible pixels get the palette's last index."""
    colors = image.convert("RGB")
    palette = colors.quantize(_GIF_COLORS, Image.Quantize.MEDIANCUT)
    frame = colors.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    if not has_alpha:
        return frame
    indices = np.array(frame)
    indices[np.asarray(image)[:, :, 3] < _OPAQUE_FROM] = _TRANSPARENT
    shown = Image.fromarray(indices, "P")
    entries = (palette.getpalette() or [])[: 3 * _GIF_COLORS]
    shown.putpalette(entries + [0] * (768 - len(entries)))
    shown.info["transparency"] = _TRANSPARENT
    return shown
