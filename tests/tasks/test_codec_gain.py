"""What MeasureCodecGain and its points refuse before anything runs, and which points it makes."""

from pathlib import Path

import pytest
from videos import make_video

from data.errors import UserError
from tasks.codec_gain import MeasureCodecGain
from tasks.codec_gain_points import EncodeLayer, MeasurePoint

CLIP = (Path("clip.mkv"),)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"models": ("a/best.pth", "b/best.pth")}, "are called best"),
        ({"models": ("bicubic",)}, "are called bicubic"),
        ({"layers": (4,)}, "--layers is given without --models"),
        ({"input": (Path("a/clip.mkv"), Path("b/clip.mkv"))}, "Two clips"),
    ],
    ids=["two models", "a filter", "layers alone", "two clips"],
)
def test_what_would_be_mixed_up_is_refused(given, words):
    with pytest.raises(UserError, match=words):
        MeasureCodecGain(**{"input": CLIP, **given}).requires()


def test_a_layer_is_a_point_for_each_model_step_and_rate_and_ends_at_the_codecs_maximum():
    task = MeasureCodecGain(input=CLIP, models=("realtime-x2",), crf=(30, 46), layers=(4, 8))
    layers = [point for point in task.requires() if isinstance(point.encoded, EncodeLayer)]
    assert [(point.crf, point.layer_crf) for point in layers] == [(30, 34), (30, 38), (46, 50), (46, 51)]
    assert len(task.requires()) == 2 * 4 + 4
    assert all(point.size == "half" and point.encoded.base.crf == point.crf for point in layers)


def test_half_size_can_have_rates_of_its_own():
    task = MeasureCodecGain(input=CLIP, crf=(30, 40), half_crf=(20, 30, 20))
    rates = {(point.size, point.upscaler, point.crf) for point in task.requires()}
    assert {crf for size, _, crf in rates if size == "full"} == {30, 40}
    assert {crf for size, _, crf in rates if size == "half"} == {20, 30} and len(rates) == 2 + 4


def test_a_point_without_a_layer_keeps_its_name_and_one_with_it_has_another(tmp_path):
    clip = str(make_video(tmp_path / "clip.mkv", frames=2))
    plain = MeasurePoint(clip=clip, crf=30, upscaler="realtime-x2")
    layered = MeasurePoint(clip=clip, crf=30, upscaler="realtime-x2", layer_crf=34)
    assert plain.parameters() == layered.parameters() and plain.spec_hash != layered.spec_hash
    with pytest.raises(UserError, match="belongs to"):
        MeasurePoint(clip=clip, crf=30, size="full", upscaler="none", layer_crf=34).parameters()
    with pytest.raises(UserError, match="a layer belongs to a clip of half size"):
        EncodeLayer(clip=clip, crf=30, size="full", layer_crf=34).parameters()
