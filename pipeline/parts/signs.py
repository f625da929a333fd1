"""Turn descriptors of local features into 128 bits each: the fewer of them differ, the more alike are two features.

A descriptor is first split into the half that mirroring an image leaves unchanged and the half that it negates. Each
half is whitened by a fixed matrix, and the signs are kept: 64 bits each. So the bits of a mirrored image follow from
those of the image: the second 64 are inverted.

The matrices are integers, and so is what they are multiplied with: the sums are exact in any order, and the same
descriptor has the same bits on every processor.

Source: Arandjelović, Zisserman, Three things everyone should know to improve object retrieval (2012), for the root.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SIGN_BITS = 128
HALF = SIGN_BITS // 2
Signs = npt.NDArray[np.uint64]
"""Features x 2: the 64 bits that mirroring leaves unchanged, and the 64 that it inverts."""
_ROOT_LEVELS = 512
_CELLS, _ANGLES = 4, 8


class Whitening(NamedTuple):
    """Matrices of whole numbers that whiten the two halves of descriptors."""

    mean: npt.NDArray[np.float64]
    """Of the unchanged half, 64; the mean of the other half is 0."""
    even: npt.NDArray[np.float64]
    """64 x 64, for the unchanged half."""
    odd: npt.NDArray[np.float64]
    """64 x 64, for the negated half."""


@functools.cache
def load_whitening() -> Whitening:
    """Return the whitening that `tests/bench/whitening.py` has learned."""
    stored = np.load(Path(__file__).with_name("whitening.npy")).astype(np.float64)
    return Whitening(stored[0], stored[1 : HALF + 1], stored[HALF + 1 :])


def split_descriptors(
    descriptors: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the halves of descriptors that mirroring leaves unchanged and negates, each n x 64, in whole numbers.

    Args:
        descriptors: n x 128, as OpenCV gives them: 4 x 4 cells of 8 angles, relative to the feature's own.
    """
    total = np.maximum(descriptors.sum(axis=1, keepdims=True, dtype=np.float64), 1)
    root = np.rint(np.sqrt(descriptors / total) * _ROOT_LEVELS)
    cells = root.reshape(-1, _CELLS, _CELLS, _ANGLES)
    # Mirroring along the feature's direction swaps the rows of cells, and angles change their sign.
    mirrored = cells[:, ::-1][..., -np.arange(_ANGLES) % _ANGLES]
    upper = slice(0, _CELLS // 2)
    even, odd = (cells + mirrored)[:, upper], (cells - mirrored)[:, upper]
    return even.reshape(-1, HALF), odd.reshape(-1, HALF)


def sign_descriptors(descriptors: npt.NDArray[np.float32]) -> Signs:
    """Return the bits of descriptors, n x 2 words of 64 bits.

    Args:
        descriptors: n x 128.
    """
    if not len(descriptors):
        return np.zeros((0, 2), np.uint64)
    whitening = load_whitening()
    even, odd = split_descriptors(descriptors)
    values = np.hstack(((even - whitening.mean) @ whitening.even, odd @ whitening.odd))
    return np.packbits(values > 0, axis=1).view(np.uint64)


def mirror_signs(signs: Signs) -> Signs:
    """Return the bits that the same features have in the mirrored image."""
    return signs ^ np.array([0, ~np.uint64(0)], np.uint64)
