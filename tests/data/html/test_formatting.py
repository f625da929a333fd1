"""Numbers with their units, and explanations of reasons."""

import math

import pytest

from data.html import formatting
from data.records import RejectionReason


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
