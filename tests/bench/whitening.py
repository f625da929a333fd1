"""Learn the whitening of descriptors that is stored as pipeline/parts/whitening.npy, and write it.

    python tests/bench/whitening.py FOLDER [--output whitening.npy]

Takes descriptors of all images of a folder at several sizes. Each half of the descriptors (what mirroring leaves
unchanged, and what it negates) is projected on its principal directions, which are scaled to more equal variance and
rotated at random, so that each bit carries as much as any other. Rounded to whole numbers.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from data.imaging.decode import decode
from pipeline.downscale import downscale_by_two
from pipeline.parts.signs import HALF, split_descriptors
from pipeline.quality_metrics import rgb_to_luma

_LARGEST_PX, _SMALLEST_PX = 1100, 128
_PER_LEVEL = 1000
_LARGEST_WEIGHT = 2047


def describe_folder(folder: Path) -> np.ndarray:
    """Return the descriptors of all images of a folder at several sizes, n x 128."""
    found = []
    detector = cv2.SIFT.create(nfeatures=_PER_LEVEL, contrastThreshold=0.01)  # words: ok
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in {".png", ".jpg"}:
            continue
        luma = rgb_to_luma(decode(path.read_bytes()))
        while min(luma.shape) >= _SMALLEST_PX:
            if max(luma.shape) <= _LARGEST_PX:
                found.append(detector.detectAndCompute(luma, None)[1])
            luma = downscale_by_two(luma)
    return np.vstack(found)


def whiten(values: np.ndarray, power: float, floor: float, seed: int) -> np.ndarray:
    """Return a matrix that gives values (n x 64, of mean 0) more equal variances, in whole numbers."""
    variances, directions = np.linalg.eigh(values.T @ values / len(values))
    scaled = directions * (np.maximum(variances, 0) + floor * variances.max()) ** -power
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(HALF, HALF)))
    matrix = scaled @ rotation
    return np.rint(matrix * (_LARGEST_WEIGHT / np.abs(matrix).max()))


def learn(descriptors: np.ndarray, power: float = 0.5, floor: float = 0.02) -> np.ndarray:
    """Return the mean and the two matrices, 129 x 64."""
    even, odd = split_descriptors(descriptors)
    mean = np.rint(even.mean(axis=0))
    return np.vstack((mean, whiten(even - mean, power, floor, 0), whiten(odd, power, floor, 1)))


def main() -> None:
    """Learn the whitening of a folder of images and write it."""
    parser = argparse.ArgumentParser(description="Learn the whitening of descriptors.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=Path("pipeline/parts/whitening.npy"))
    arguments = parser.parse_args()
    descriptors = describe_folder(arguments.folder)
    np.save(arguments.output, learn(descriptors).astype(np.int16))
    print(f"{len(descriptors)} descriptors; written to {arguments.output}")


if __name__ == "__main__":
    main()
