"""Measure which frames and bursts become one group, and how many unrelated images that follow each other by name do.

    SR_SHARED=DIR python tests/bench/groups.py [--bits 8,12,16,20]

From each photograph of DIR/images/photos, halved, a pan is cut (60 frames of 960 x 540, each 4 pixels to the right and
2 down of the one before) and a burst (8 frames, moved by up to 40 pixels and half a degree, brighter or darker by up to
10%). Unrelated are the images of kodak, sunhays80 and photos, in the order of their names. Printed is, for each limit,
the share of pans and of bursts whose frames are all one group, the share of frames that are in the largest group of
theirs, and how many of the unrelated images are joined with another.
"""

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
from leakage import read_folder

from pipeline.perceptual_hash import ORIENTATIONS, hash_orientations
from pipeline.selection.copies import SourceTable
from pipeline.selection.groups import find_groups
from pipeline.selection.hamming import Hashes, parse_hashes

HEIGHT, WIDTH = 540, 960
PAN_FRAMES, STEP_PX = 60, 4
BURST_FRAMES, SHIFT_PX, TURN_DEGREES, EXPOSURE = 8, 40, 0.5, 0.1
_UNRELATED = ("kodak", "sunhays80", "photos")


def cut_pan(image: np.ndarray) -> list[np.ndarray]:
    """Return the frames of a pan over an image."""
    frames = []
    for number in range(PAN_FRAMES):
        top, left = number * STEP_PX // 2, number * STEP_PX
        frames.append(np.ascontiguousarray(image[top : top + HEIGHT, left : left + WIDTH]))
    return frames


def shoot_burst(image: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return the frames of a burst by hand."""
    random = np.random.default_rng(seed)
    frames = []
    for _ in range(BURST_FRAMES):
        angle = random.uniform(-TURN_DEGREES, TURN_DEGREES)
        top, left = random.integers(0, SHIFT_PX, 2)
        matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), angle, 1.0)
        matrix[:, 2] -= (left + 20, top + 20)  # away from the corner, which turning leaves empty
        turned = cv2.warpAffine(
            image, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        gain = random.uniform(1 - EXPOSURE, 1 + EXPOSURE)
        frames.append(np.clip(turned * gain, 0, 255).astype(np.uint8))
    return frames


def hash_all(images: list[np.ndarray]) -> Hashes:
    """Return the hashes of images, images x 8."""
    return parse_hashes([hash_orientations(one) for one in images]).reshape(-1, ORIENTATIONS)


def group(hashes: Hashes, bits: int) -> np.ndarray:
    """Return the number of the group of each of the images, which follow each other by name."""
    names = [f"frame_{number:04d}.png" for number in range(len(hashes))]
    rows = np.arange(len(hashes))
    table = SourceTable(
        names, hashes, rows, np.ones(len(hashes), bool), np.zeros(len(hashes), np.int64), names
    )
    return find_groups(table, np.full(len(hashes), -1), bits)


def describe(shots: list[Hashes], bits: int) -> str:
    """Return the share of shots that are one group, and of frames in the largest group of their shot."""
    largest = [np.bincount(group(hashes, bits)).max() / len(hashes) for hashes in shots]
    return f"{np.mean([share == 1 for share in largest]):8.0%}{np.mean(largest):8.0%}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure which frames and bursts become one group.")
    parser.add_argument("--bits", default="8,12,16,20")
    limits = [int(bits) for bits in parser.parse_args().bits.split(",")]
    images = Path(os.environ["SR_SHARED"]) / "images"
    unrelated = [hash_all(read_folder(images / name)) for name in _UNRELATED]
    pans, bursts = [], []
    for seed, photo in enumerate(read_folder(images / "photos")):
        half = cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        if (
            half.shape[0] >= HEIGHT + PAN_FRAMES * STEP_PX // 2
            and half.shape[1] >= WIDTH + PAN_FRAMES * STEP_PX
        ):
            pans.append(hash_all(cut_pan(half)))
            bursts.append(hash_all(shoot_burst(half, seed)))
    count = sum(map(len, unrelated))
    print(
        f"{len(pans)} pans of {PAN_FRAMES} frames, as many bursts of {BURST_FRAMES}: share that is one group,"
    )
    print(
        f"share of frames in the largest group; of {count} unrelated images those that are joined with another"
    )
    print(f"{'bits':>4}{'pans':>8}{'frames':>8}{'bursts':>8}{'frames':>8}{'unrelated':>10}")
    for bits in limits:
        joined = sum(len(hashes) - len(np.unique(group(hashes, bits))) for hashes in unrelated)
        print(f"{bits:4}{describe(pans, bits)}{describe(bursts, bits)}{joined:10}")


if __name__ == "__main__":
    main()
