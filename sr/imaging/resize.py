"""Resize images with reference filters: Pillow's, and MATLAB's imresize bit for bit.

Pure functions of pixels. Every weight is float64 and every sum is taken in a fixed order, so that equal images give
equal results on any machine. The caller chooses how borders and rounding are handled.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

EDGES = ("mirror", "clamp")
ROUNDINGS = ("none", "once", "passes")

Values = npt.NDArray[np.float64]


def pillow_resize(
    image: npt.NDArray[np.uint8], height: int, width: int, filter_: Image.Resampling
) -> npt.NDArray[np.uint8]:
    """Resize with a filter of Pillow.

    Pillow antialiases when it downscales, clamps at the edges, and rounds to uint8 after each axis.

    Args:
        image: uint8 HWC RGB or HW.
        height, width: of the result, in pixels.
        filter_: one of Pillow's filters.

    Returns:
        uint8, the same layout.
    """
    return np.asarray(Image.fromarray(image).resize((width, height), filter_))


def imresize(
    image: npt.NDArray[np.number],
    height: int,
    width: int,
    kernel: str = "cubic",
    *,
    edges: str = "mirror",
    rounding: str = "once",
) -> npt.NDArray[Any]:
    """Resize as MATLAB's imresize does: antialiased when downscaling, height first, then width.

    Published data was made in two ways. `edges="mirror", rounding="once"` computes in double precision throughout:
    the LR images of most papers. `edges="clamp", rounding="passes"` reproduces the LR files that come with SelfExSR,
    bit for bit.

    Args:
        image: HW or HWC, any numeric dtype, 0 to 255.
        height, width: of the result, in pixels. Scale both axes alike: MATLAB would otherwise begin with the axis
            that is downscaled more.
        kernel: "cubic" (Keys, a = -0.5) or "lanczos3".
        edges: what lies beyond the border: "mirror" (symmetric, the border pixel repeated) or "clamp" (the border
            pixel throughout).
        rounding: "none" (float64, may leave 0 to 255), "once" (at the end) or "passes" (after each axis). Halves
            round up, and the result is clamped to 0 to 255.

    Returns:
        The resized image: float64 for rounding "none", otherwise uint8.

    Raises:
        ValueError: an unknown name, or a size below 1.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981; MathWorks, imresize.
    """
    if kernel not in _KERNELS or edges not in EDGES or rounding not in ROUNDINGS:
        raise ValueError(
            f"kernel must be one of {', '.join(_KERNELS)}, edges one of {', '.join(EDGES)} and rounding one of "
            f"{', '.join(ROUNDINGS)}, not {kernel!r}, {edges!r} and {rounding!r}."
        )
    if min(height, width, *image.shape[:2]) < 1:
        raise ValueError(f"Sides must be at least 1 px, not {image.shape[:2]} to {(height, width)}.")
    tall = _along_height(image.astype(np.float64), height, kernel, edges)  # (height, w[, channels])
    if rounding == "passes":
        tall = _to_levels(tall)
    wide = _along_height(tall.swapaxes(0, 1), width, kernel, edges).swapaxes(0, 1)  # (height, width[, c])
    return wide if rounding == "none" else _to_levels(wide).astype(np.uint8)


def cubic_kernel(distance: Values) -> Values:
    """Evaluate Keys' cubic convolution kernel with a = -0.5.

    Args:
        distance: from the center, in pixels of the source.

    Returns:
        The weight at each distance; 0 beyond 2.

    Source: Keys, 1981, equation 15.
    """
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x <= 1.0, near, np.where(x <= 2.0, far, 0.0))


def lanczos3_kernel(distance: Values) -> Values:
    """Evaluate the sinc function windowed by its own main lobe, stretched by three.

    Args:
        distance: from the center, in pixels of the source.

    Returns:
        The weight at each distance; 0 beyond 3.
    """
    return np.where(np.abs(distance) < 3.0, np.sinc(distance) * np.sinc(distance / 3.0), 0.0)


_KERNELS: dict[str, tuple[Callable[[Values], Values], float]] = {
    "cubic": (cubic_kernel, 2.0),
    "lanczos3": (lanczos3_kernel, 3.0),
}
"""Kernel function by name, with its support: the radius in pixels beyond which it is zero."""


def _to_levels(values: Values) -> Values:
    return np.clip(np.floor(values + 0.5), 0.0, 255.0)


def _along_height(values: Values, size: int, kernel: str, edges: str) -> Values:
    """Resize the first axis to `size`."""
    weights, sources = _compute_taps(values.shape[0], size, kernel, edges)
    shape = (size,) + (1,) * (values.ndim - 1)
    total = np.zeros((size, *values.shape[1:]))
    for tap in range(weights.shape[1]):
        total += weights[:, tap].reshape(shape) * values[sources[:, tap]]
    return total


def _compute_taps(
    size_in: int, size_out: int, kernel: str, edges: str
) -> tuple[Values, npt.NDArray[np.intp]]:
    """Return each output position's weights and the input positions they apply to: both (size_out, taps)."""
    function, support = _KERNELS[kernel]
    scale = size_out / size_in
    stretch = max(1.0, 1.0 / scale)  # downscaling widens the kernel: that is the antialiasing
    # The center of output pixel i (from 0), in input pixels.
    centers = (np.arange(size_out) + 0.5) / scale - 0.5
    first = np.floor(centers - support * stretch).astype(int)
    positions = first[:, None] + np.arange(math.ceil(2 * support * stretch) + 2)
    weights = function((centers[:, None] - positions) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.any(weights != 0.0, axis=0)
    weights, positions = weights[:, used], positions[:, used]
    if edges == "clamp":
        return weights, positions.clip(0, size_in - 1)
    mirrored = np.concatenate([np.arange(size_in), np.arange(size_in)[::-1]])
    return weights, mirrored[positions % (2 * size_in)]
