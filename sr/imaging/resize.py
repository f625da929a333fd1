"""Resizing by reference filters: Pillow's, and MATLAB's imresize to the last bit.

Pure functions of pixels; every weight is float64 and every sum is taken in a fixed order, so that equal images give
equal results on any machine. It knows no protocol: who calls says how edges and roundings are done.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

EDGES = ("mirror", "clamp")
ROUNDINGS = ("none", "once", "passes")


def pillow_resize(image: np.ndarray, height: int, width: int, filter_: Image.Resampling) -> np.ndarray:
    """Resize uint8 HWC RGB with Pillow: antialiased when reducing, edges clamped, rounded to uint8 after each
    axis.
    """
    return np.asarray(Image.fromarray(image).resize((width, height), filter_))


def imresize(
    image: np.ndarray,
    height: int,
    width: int,
    kernel: str = "cubic",
    *,
    edges: str = "mirror",
    rounding: str = "once",
) -> np.ndarray:
    """Resize as MATLAB's imresize does: antialiased when reducing, height first, then width.

    Two variants are met in published data. `edges="mirror", rounding="once"` is computed in double precision
    throughout: so the LR images of most papers were made. `edges="clamp", rounding="passes"` gives the
    low files that come with SelfExSR, bit for bit.

    Args:
        image: HW or HWC, any number type, 0 to 255.
        height, width: of the result, in pixels; both axes should be scaled alike, as MATLAB would otherwise
            begin with the axis that is reduced more.
        kernel: "cubic" (Keys, a = -0.5) or "lanczos3".
        edges: what stands beyond the border: "mirror" (the outermost pixel repeated once, then the next) or
            "clamp" (the outermost pixel for ever).
        rounding: "none" (float64 as it comes out, which may leave 0 to 255), "once" (at the end) or "passes"
            (after each axis). Halves are rounded up, and values clamped to 0 to 255.

    Returns:
        The resized image: float64 for rounding "none", otherwise uint8.

    Raises:
        ValueError: a name that is none of the above, or a size below 1.
    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981; MathWorks, imresize.
    """
    if kernel not in _KERNELS or edges not in EDGES or rounding not in ROUNDINGS:
        names = f"a kernel of {', '.join(_KERNELS)}, edges of {EDGES} and a rounding of {ROUNDINGS}"
        raise ValueError(f"Expected {names}, got {kernel!r}, {edges!r} and {rounding!r}.")
    if min(height, width, *image.shape[:2]) < 1:
        raise ValueError(f"Expected sides of 1 px or more, got {image.shape[:2]} to {(height, width)}.")
    tall = _along_height(image.astype(np.float64), height, kernel, edges)  # (height, w[, channels])
    if rounding == "passes":
        tall = _levels(tall)
    wide = _along_height(tall.swapaxes(0, 1), width, kernel, edges).swapaxes(0, 1)  # (height, width[, c])
    return wide if rounding == "none" else _levels(wide).astype(np.uint8)


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(values + 0.5), 0.0, 255.0)


def _along_height(values: np.ndarray, size: int, kernel: str, edges: str) -> np.ndarray:
    """Resize the first axis of float64 values to `size`."""
    weights, sources = _taps(values.shape[0], size, kernel, edges)
    shape = (size,) + (1,) * (values.ndim - 1)
    total = np.zeros((size, *values.shape[1:]))
    for tap in range(weights.shape[1]):
        total += weights[:, tap].reshape(shape) * values[sources[:, tap]]
    return total


def _taps(size_in: int, size_out: int, kernel: str, edges: str) -> tuple[np.ndarray, np.ndarray]:
    """The weights, and the places they are taken from, of each place of a resized axis: both (size_out, taps)."""
    function, support = _KERNELS[kernel]
    scale = size_out / size_in
    stretch = max(1.0, 1.0 / scale)  # a reduction widens the kernel: that is the antialiasing
    # The center of pixel i (from 0) of the result, in pixels of the source.
    centers = (np.arange(size_out) + 0.5) / scale - 0.5
    first = np.floor(centers - support * stretch).astype(int)
    places = first[:, None] + np.arange(math.ceil(2 * support * stretch) + 2)
    weights = function((centers[:, None] - places) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.any(weights != 0.0, axis=0)
    weights, places = weights[:, used], places[:, used]
    if edges == "clamp":
        return weights, places.clip(0, size_in - 1)
    there_and_back = np.concatenate([np.arange(size_in), np.arange(size_in)[::-1]])
    return weights, there_and_back[places % (2 * size_in)]


def _cubic(distance: np.ndarray) -> np.ndarray:
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x <= 1.0, near, np.where(x <= 2.0, far, 0.0))


def _lanczos3(distance: np.ndarray) -> np.ndarray:
    return np.where(np.abs(distance) < 3.0, np.sinc(distance) * np.sinc(distance / 3.0), 0.0)


_KERNELS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "cubic": (_cubic, 2.0),
    "lanczos3": (_lanczos3, 3.0),
}
"""Kernel by name, with its reach on either side in pixels."""
