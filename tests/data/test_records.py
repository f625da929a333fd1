import dataclasses
from pathlib import Path

import pytest

from data import records
from data.records import Box, RejectionReason

FORMATS = Path(__file__).parents[2] / "docs" / "reference" / "formats.md"


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Box(0, 0, 1, 1).top = 1


def test_the_documentation_names_every_reason():
    text = FORMATS.read_text()
    assert [reason for reason in RejectionReason if f"`{reason}`" not in text] == []


@pytest.mark.parametrize(
    "name", ["CropRecord", "ShardHeader", "DatasetManifest", "SelectionManifest", "PlannedSource"]
)
def test_the_documentation_names_every_field(name):
    text = FORMATS.read_text()
    fields = {field.name for field in dataclasses.fields(getattr(records, name))}
    assert {field for field in fields if f"`{field}`" not in text} == set()
