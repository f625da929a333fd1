"""Numbers with their units, and explanations in sentences."""

import math

import pytest

from data.record_json import to_plain
from data.records import RejectionReason
from sr.evaluation.degradation import DEGRADATIONS
from sr.evaluation.protocols import PROVIDED, EvaluationProtocol, build_protocol
from sr.html import formatting


def test_every_reason_is_explained():
    assert set(formatting.REASONS) == set(RejectionReason)
    assert all(formatting.explain_reason(reason.value).endswith(".") for reason in RejectionReason)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.914, "+0.91"),
        (-0.02, "−0.02"),
        (-0.001, "0.00"),
        (0.0, "0.00"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_signed(value, text):
    assert formatting.signed(value, 2) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_440, "99.4 kB"),
        (345_678_901, "346 MB"),
        (4e12, "4.0 TB"),
        (None, "–"),
    ],
)
def test_size(value, text):
    assert formatting.size(value) == text


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1234"), (38.21, "38.2"), (3.377, "3.38"), (None, "–")])
def test_milliseconds(value, text):
    assert formatting.milliseconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(1, "1 crop"), (0, "0 crops"), (12345, "12,345 crops")])
def test_plural(value, text):
    assert formatting.plural(value, "crop") == text


@pytest.mark.parametrize(
    ("channel", "degradation", "expected"),
    [
        ("rgb", "pillow-bicubic", ["red, green and blue", "antialiasing", "3 px", "multiple of 4"]),
        ("y", "provided", ["luma alone", "benchmark dataset provides"]),
    ],
)
def test_protocol_is_described(channel, degradation, expected):
    settings = to_plain(EvaluationProtocol(scale=4, channel=channel, border_px=3, degradation=degradation))
    text = " ".join(formatting.describe_protocol(settings | {"psnr_cap_db": 100.0}, 5))
    for phrase in (*expected, "5 images", "100 dB"):
        assert phrase in text


def test_every_degradation_and_the_settings_of_named_protocols_are_explained():
    assert set(formatting.DEGRADATIONS) == {*DEGRADATIONS, PROVIDED}
    classic, papers = (
        " ".join(
            formatting.describe_protocol(
                to_plain(build_protocol(name, 3, "Set5")) | {"psnr_cap_db": 100.0}, 5
            )
        )
        for name in ("classic", "protocol-a")
    )
    assert "Luma is computed first" in classic and "multiple of 3 px" in classic and "imresize" in classic
    assert "double precision" in papers and "multiple of 12 px" in papers and "not rounded" in papers
