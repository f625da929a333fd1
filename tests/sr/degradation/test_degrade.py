import numpy as np
import pytest
from images import textured

from sr.degradation.codec_artifacts import CODECS, apply_codec
from sr.degradation.degrade import degrade_lr_image
from sr.degradation.parser import STEPS, parse_degradation


def psnr(one, other):
    return 10 * np.log10(255**2 / np.square(one.astype(float) - other).mean())


@pytest.mark.parametrize("side", [(16, 16), (33, 48), (72, 64)])
@pytest.mark.parametrize("name", [name for name in STEPS if name != "blur"])
def test_a_step_does_not_shift_the_image_and_worsens_with_its_strength(name, side):
    # Gray, since half the color is lost whatever the strength.
    lr_image = np.repeat(textured(3, *side)[..., :1], 3, axis=2)
    gentle, harsh = (
        degrade_lr_image(lr_image, parse_degradation(f"bicubic,{name}:{strength}@1"), 0, 0, 0, 5)
        for strength in {"noise": ("2", "20"), "jpeg": ("98", "10")}.get(name, ("10", "45"))
    )
    assert gentle.shape == harsh.shape == lr_image.shape and gentle.dtype == np.uint8
    assert psnr(gentle, lr_image) > psnr(harsh, lr_image) + 1
    moved = max(psnr(np.roll(gentle, shift, axis), lr_image) for axis in (0, 1) for shift in (-1, 1))
    assert psnr(gentle, lr_image) > moved


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_depends_on_the_number_of_the_pair_alone(codec):
    lr_image, steps = textured(4, 64, 64), parse_degradation(f"bicubic,{codec}@1")
    images = [degrade_lr_image(lr_image, steps, 0, 0, 0, index) for index in range(6)]
    again = [degrade_lr_image(lr_image, steps, 0, 0, 0, index) for index in range(6)]
    assert all(map(np.array_equal, images, again))
    assert len({image.tobytes() for image in images}) == 6


def test_the_settings_of_one_step_do_not_change_another():
    lr_image = textured(5, 32, 32)
    alone = degrade_lr_image(lr_image, parse_degradation("bicubic,noise@1"), 7)
    beside = degrade_lr_image(lr_image, parse_degradation("bicubic,jpeg:50@0,noise@1"), 7)
    assert np.array_equal(alone, beside)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_an_encoder_prints_nothing(codec, capfd, monkeypatch):
    monkeypatch.delenv("SVT_LOG", raising=False)
    apply_codec(np.zeros((64, 64, 3), np.uint8), codec, 30, np.random.default_rng(0))
    assert capfd.readouterr() == ("", "")
