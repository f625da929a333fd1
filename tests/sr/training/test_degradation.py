import numpy as np
import pytest
from pictures import textured

from sr.training.degradation import degrade_low
from sr.training.degradation_text import STEPS, parse_degradation
from sr.training.film_artefacts import CODECS


def psnr(one, other):
    return 10 * np.log10(255**2 / np.square(one.astype(float) - other).mean())


@pytest.mark.parametrize("side", [(16, 16), (33, 48), (72, 64)])
@pytest.mark.parametrize("name", [name for name in STEPS if name != "blur"])
def test_a_step_keeps_the_picture_in_its_place_and_gets_worse_with_its_strength(name, side):
    # Grey, since half the colour is lost whatever the strength.
    low = np.repeat(textured(3, *side)[..., :1], 3, axis=2)
    gentle, harsh = (
        degrade_low(low, parse_degradation(f"bicubic,{name}:{strength}@1"), 0, 0, 0, 5)
        for strength in {"noise": ("2", "20"), "jpeg": ("98", "10")}.get(name, ("10", "45"))
    )
    assert gentle.shape == harsh.shape == low.shape and gentle.dtype == np.uint8
    assert psnr(gentle, low) > psnr(harsh, low) + 1
    moved = max(psnr(np.roll(gentle, shift, axis), low) for axis in (0, 1) for shift in (-1, 1))
    assert psnr(gentle, low) > moved


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_gives_the_same_picture_each_time_and_another_for_another_pair(codec):
    low, steps = textured(4, 64, 64), parse_degradation(f"bicubic,{codec}@1")
    pictures = [degrade_low(low, steps, 0, 0, 0, place) for place in range(6)]
    again = [degrade_low(low, steps, 0, 0, 0, place) for place in range(6)]
    assert all(map(np.array_equal, pictures, again))
    assert len({picture.tobytes() for picture in pictures}) == 6


def test_one_steps_settings_do_not_change_what_another_does():
    low = textured(5, 32, 32)
    alone = degrade_low(low, parse_degradation("bicubic,noise@1"), 7)
    beside = degrade_low(low, parse_degradation("bicubic,jpeg:50@0,noise@1"), 7)
    assert np.array_equal(alone, beside)
