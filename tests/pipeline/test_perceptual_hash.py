import cv2
import numpy as np
from images import textured

from pipeline.perceptual_hash import HASH_DIGITS, ORIENTATIONS, hash_orientations, luma_hash
from pipeline.quality_metrics import rgb_to_luma

IMAGE = textured(3, 256, 256)


def distance(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


def perceptual_hash(image: np.ndarray) -> str:
    """Return the hash of the image as it is."""
    return hash_orientations(image)[:HASH_DIGITS]


def test_a_turned_or_mirrored_image_has_the_same_hashes_in_another_order():
    hashes = hash_orientations(IMAGE)
    stored = [hashes[at : at + HASH_DIGITS] for at in range(0, len(hashes), HASH_DIGITS)]
    turned = [
        mirrored
        for image in (IMAGE, IMAGE.transpose(1, 0, 2))
        for mirrored in (image, image[:, ::-1], image[::-1], image[::-1, ::-1])
    ]
    assert len(set(stored)) == len(turned) == ORIENTATIONS
    for expected, image in zip(stored, turned, strict=True):
        assert distance(expected, perceptual_hash(np.ascontiguousarray(image))) <= 2


def test_the_hash_survives_scaling_and_compression_but_not_another_image():
    original = perceptual_hash(IMAGE)
    smaller = cv2.resize(IMAGE, (150, 150), interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".jpg", IMAGE, [cv2.IMWRITE_JPEG_QUALITY, 60])
    assert len(original) == 16
    assert distance(original, perceptual_hash(smaller)) <= 4
    assert distance(original, perceptual_hash(cv2.imdecode(content, cv2.IMREAD_COLOR))) <= 4
    assert distance(original, perceptual_hash(textured(4, 256, 256))) > 12


def test_crops_and_whole_images_are_hashed_alike():
    assert distance(perceptual_hash(IMAGE), luma_hash(rgb_to_luma(IMAGE))) <= 2


def test_any_size_has_a_hash():
    for height, width in ((16, 16), (31, 500), (513, 40)):
        assert len(perceptual_hash(np.zeros((height, width, 3), np.uint8))) == 16
