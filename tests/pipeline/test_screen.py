import cv2
import numpy as np
from pictures import textured

from data.records import Reason
from pipeline.screen import ScreenSettings, judge, perceptual_hash, scores

PICTURE = textured(3, 256, 256)
LIMITS = ScreenSettings(flat_below=200, blurred_below=60)


def distance(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


def test_contrast_is_the_standard_deviation_of_luma():
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 100
    assert scores(halves)["contrast"] == 5000


def test_flat_and_blurred_crops_are_thrown_out_with_their_score():
    assert judge(scores(PICTURE), LIMITS) is None
    flat = np.full((256, 256, 3), 77, np.uint8)
    assert judge(scores(flat), LIMITS) == (Reason.FLAT, "contrast 0; at least 200 is needed")
    blurred = cv2.GaussianBlur(PICTURE, (0, 0), 8)
    reason, detail = judge(scores(blurred), LIMITS)
    assert reason is Reason.BLURRED and "at least 60" in detail


def test_a_threshold_of_zero_turns_a_screen_off():
    assert judge(scores(np.zeros((64, 64, 3), np.uint8)), ScreenSettings(0, 0)) is None


def test_detail_falls_with_blur():
    measured = [scores(cv2.GaussianBlur(PICTURE, (0, 0), sigma))["detail"] for sigma in (0.5, 1, 2, 4)]
    assert measured == sorted(measured, reverse=True)


def test_the_perceptual_hash_survives_scaling_and_compression_only():
    original = perceptual_hash(PICTURE)
    smaller = cv2.resize(PICTURE, (150, 150), interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_QUALITY, 60])
    assert len(original) == 16
    assert distance(original, perceptual_hash(smaller)) <= 4
    assert distance(original, perceptual_hash(cv2.imdecode(content, cv2.IMREAD_COLOR))) <= 4
    assert distance(original, perceptual_hash(textured(4, 256, 256))) > 12
