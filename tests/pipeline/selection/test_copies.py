import numpy as np
from images import textured

from pipeline.perceptual_hash import ORIENTATIONS, hash_orientations
from pipeline.selection.copies import find_copies
from pipeline.selection.hamming import parse_hashes


def hashes_of(*images):
    return parse_hashes([hash_orientations(np.ascontiguousarray(one)) for one in images]).reshape(
        -1, ORIENTATIONS
    )


def test_a_copy_in_any_orientation_is_found():
    image, other = textured(1, 256, 320), textured(2, 256, 320)
    turned = [image[:, ::-1], image[::-1], np.rot90(image), np.rot90(image, 3)[:, ::-1]]
    assert find_copies(hashes_of(image, other, *turned), 8).tolist() == [-1, -1, 0, 0, 0, 0]


def test_an_image_near_only_to_a_copy_is_kept():
    rows = np.array([0, 0b1111, 0b11111111], np.uint64)
    # Orientations that are far from everything else.
    others = np.random.default_rng(0).integers(0, 2**63, (3, ORIENTATIONS - 1), np.uint64)
    assert find_copies(np.column_stack((rows, others)), 4).tolist() == [-1, 0, -1]
    assert find_copies(np.column_stack((rows, others))[:0], 4).tolist() == []


def test_a_training_image_is_dropped_for_any_copy_in_validation():
    # 1 is a copy of 0, and 2 one of 1; all three differ by 4 bits from the one before.
    rows = np.array([0, 0b1111, 0b11111111, 0xFF000000, 0xFF000001], np.uint64)
    others = np.random.default_rng(0).integers(0, 2**63, (5, ORIENTATIONS - 1), np.uint64)
    hashes = np.column_stack((rows, others))
    assert find_copies(hashes, 4).tolist() == [-1, 0, -1, -1, 3]
    assert find_copies(hashes, 4, validation=2).tolist() == [-1, 0, 1, -1, 3]
    assert find_copies(hashes, 4, validation=5).tolist() == [-1, 0, -1, -1, 3]
