"""The interface that every upscaler implements, so that one evaluator and one command serve all of them."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

CPU = "CPU"
"""The device that every machine has."""
AUTO = "AUTO"
"""The device that OpenVINO, or torch, chooses."""

UInt8Image = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]


class Upscaler(Protocol):
    """Upscales one image at a time. Not thread-safe. Equal images give equal results.

    Example:
        >>> upscale = load_upscaler("bicubic", scale=2)
        >>> upscale(np.zeros((30, 40, 3), np.uint8)).shape
        (60, 80, 3)
    """

    name: str
    """For reports: the filter's name, or the preset and the runtime (realtime-x2 torch)."""
    scale: int
    """Output size divided by input size, per axis; 1 or more."""
    sha256: str | None
    """Hash of the model file; None for an interpolation filter."""
    color: str
    """What the model works on: "rgb", or "luma" (one plane). A luma model accepts RGB too."""
    fixed_size: tuple[int, int] | None
    """The only input height and width that the model accepts; None: any."""

    def __call__(self, lr_image: npt.ArrayLike) -> UInt8Image:
        """Upscale an 8-bit image.

        Args:
            lr_image: uint8 HWC RGB, 1x1 or larger; an array, or anything that numpy converts to one, such as a Pillow
                image. Filters also accept HW1. A luma model also accepts HW1 in video range (16 is black, 235 is
                white); `sr.imaging.video_range` converts a gray image to it.

        Returns:
            uint8 with the same number of channels, height and width times `scale`; rounded and clamped.
        """

    def upscale_levels(self, lr_image: FloatImage) -> FloatImage:
        """Upscale an image of more than 8 bits.

        Args:
            lr_image: float32, the same shapes as for a call, levels 0 to 255 with fractions.

        Returns:
            float32 with the same number of channels, height and width times `scale`; clamped to 0 to 255, not rounded.
            For a network and whole input levels, this is the result of a call before rounding. For Pillow's filters it
            differs slightly: Pillow rounds and clamps 8-bit images between its two passes.
        """
