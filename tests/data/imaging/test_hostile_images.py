"""Every hostile image becomes the right pixels or the right rejection, when probed and when decoded."""

import numpy as np
import pytest
from hostile_images import image_cases

from data.imaging.decode import ImageFault, decode, probe
from data.records import RejectionReason

CASES = image_cases(seed=3)


def test_there_are_enough_different_cases():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len({case.content for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_gives_the_right_pixels_or_the_right_reason(case):
    try:
        header = probe(case.content)
        image = decode(case.content)
    except ImageFault as fault:
        assert fault.reason in case.reasons, fault
        return
    assert case.pixels is not None, f"decoded to an image of {image.shape}"
    assert image.dtype == np.uint8 and image.shape == case.pixels.shape
    assert (header.height, header.width) == image.shape[:2]
    assert np.abs(image.astype(int) - case.pixels).mean() <= case.tolerance


def test_every_fault_has_a_reason_and_a_detail():
    for case in CASES:
        try:
            decode(case.content)
        except ImageFault as fault:
            assert isinstance(fault.reason, RejectionReason) and fault.detail.strip()
