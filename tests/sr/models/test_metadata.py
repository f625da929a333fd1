"""A model file's metadata survives the trip through strings, and other schemas are refused."""

import dataclasses

import pytest

from data.errors import UserError
from sr.models.metadata import ModelMetadata, from_model_json, from_strings

METADATA = ModelMetadata(2, 1, "rgb", "-1,1", "vapsr3x3-x2", "vapsr", "ab" * 32, "MIT", "int8")


def test_metadata_survives_as_strings():
    strings = METADATA.to_strings()
    assert all(isinstance(value, str) for value in strings.values())
    assert from_strings(strings | {"more": "x"}, "here") == METADATA


@pytest.mark.parametrize("change", [{"schema": "3"}, {"scale": "two"}])
def test_unreadable_metadata_is_refused(change):
    with pytest.raises(UserError, match="here"):
        from_strings(METADATA.to_strings() | change, "here")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scale", "0"),
        ("scale", "-2"),
        ("scale", "1000000"),
        ("size_multiple", "0"),
        ("size_multiple", "1000000"),
        ("halo_px", "-40"),
        ("halo_px", "5000"),
        ("color", "bgr"),
        ("precision", "int4"),
        ("layout", "NCHW"),
    ],
)
def test_values_out_of_range_are_refused(field, value):
    with pytest.raises(UserError, match=f"a {field} of '{value}', but it must be"):
        from_strings(METADATA.to_strings() | {field: value}, "here")


def test_missing_fields_are_refused():
    strings = {key: value for key, value in METADATA.to_strings().items() if key != "preset"}
    with pytest.raises(UserError, match="preset"):
        from_strings(strings, "here")
    with pytest.raises(UserError, match="here has no metadata"):
        from_strings({}, "here")


def test_metadata_is_made_from_model_json():
    record = dataclasses.asdict(METADATA) | {"value_range": [-1.0, 1.0], "source": {}}
    made = from_model_json(record)
    assert made.value_range == "-1,1"
    assert (made.license, made.precision) == ("unknown", "fp32")
