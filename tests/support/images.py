"""Images for tests, drawn from a seed."""

import cv2
import numpy as np


def textured(seed: int, height: int, width: int) -> np.ndarray:
    """Return an image with detail at every scale: uint8, height x width x 3, the same for the same seed."""
    stream = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for octave in range(6):
        cells = 2 << octave
        coarse = stream.normal(size=(cells, cells, 3))
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / (octave + 1)
    total += 0.1 * stream.normal(size=total.shape)
    return np.clip(128 + 45 * total, 0, 255).astype(np.uint8)
