"""Measure the search for training crops that show the same, on made features: seconds, and memory, by number of crops.

python tests/bench/part_duplicates.py --crops 100000
"""

import argparse
import resource
import time

import numpy as np

from pipeline.parts.features import FEATURE, FEATURES_PER_CROP
from pipeline.selection.part_duplicates import confirm_pairs, propose_pairs

_SIDE_PX = 512
_SAME = 0.01
"""Fraction of crops that show the same as another."""
_FLIPPED = 0.08
"""Fraction of the bits of a feature that differ in a copy."""


def make_features(crops: int) -> np.ndarray:
    """Return features of random crops, some of which are copies of others with some bits flipped."""
    rng = np.random.default_rng(0)
    stored = np.zeros((crops, FEATURES_PER_CROP), FEATURE)
    stored["signs"] = rng.integers(0, 1 << 64, stored["signs"].shape, np.uint64)
    stored["place"] = rng.integers(0, 1 << 32, stored["place"].shape, np.uint32) | np.uint32(16 << 20)
    same = rng.permutation(crops)[: 2 * int(crops * _SAME / 2) * 2].reshape(2, -1)
    stored[same[1]] = stored[same[0]]
    flips = np.packbits(rng.random((same.shape[1], FEATURES_PER_CROP, 128)) < _FLIPPED, axis=2).view(
        np.uint64
    )
    stored["signs"][same[1]] ^= flips
    return stored


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=int, default=100_000)
    crops = parser.parse_args().crops
    stored = make_features(crops)
    begun = time.process_time()
    pairs = propose_pairs(stored, np.arange(crops))
    proposed = time.process_time()
    found = confirm_pairs(pairs, stored, _SIDE_PX)
    ended = time.process_time()
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    made = int(crops * _SAME / 2) * 2
    print(
        f"{crops} crops: {proposed - begun:.1f} s to propose {len(pairs)} pairs, {ended - proposed:.1f} s to confirm "
        f"{len(found)} of {made} made; peak {peak_gb:.2f} GB"
    )


if __name__ == "__main__":
    main()
