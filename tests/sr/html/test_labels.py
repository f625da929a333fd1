"""Labels and explanations of what is evaluated."""

import pytest

from data.record_json import to_plain
from sr.evaluation.degradation import DEGRADATIONS
from sr.evaluation.protocols import PROVIDED, EvaluationProtocol, build_protocol
from sr.html import labels


@pytest.mark.parametrize(
    ("channel", "degradation", "expected"),
    [
        ("rgb", "pillow-bicubic", ["red, green and blue", "antialiasing", "3 px", "multiple of 4"]),
        ("y", "provided", ["luma alone", "benchmark dataset provides"]),
    ],
)
def test_protocol_is_described(channel, degradation, expected):
    settings = to_plain(EvaluationProtocol(scale=4, channel=channel, border_px=3, degradation=degradation))
    text = " ".join(labels.describe_protocol(settings | {"psnr_cap_db": 100.0}, 5))
    for phrase in (*expected, "5 images", "100 dB"):
        assert phrase in text


def test_every_degradation_and_the_settings_of_named_protocols_are_explained():
    assert set(labels.DEGRADATIONS) == {*DEGRADATIONS, PROVIDED}
    classic, papers = (
        " ".join(
            labels.describe_protocol(to_plain(build_protocol(name, 3, "Set5")) | {"psnr_cap_db": 100.0}, 5)
        )
        for name in ("classic", "protocol-a")
    )
    assert "Luma is computed first" in classic and "multiple of 3 px" in classic and "imresize" in classic
    assert "double precision" in papers and "multiple of 12 px" in papers and "not rounded" in papers
