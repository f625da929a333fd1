import dataclasses
from pathlib import Path

import pytest

from data import records
from data.records import Box, RejectionReason
from data.selection import FilterCounts, SelectedDataset, SelectionManifest

FORMATS = Path(__file__).parents[2] / "docs" / "reference" / "formats.md"


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Box(0, 0, 1, 1).top = 1


def test_the_documentation_names_every_reason():
    text = FORMATS.read_text()
    assert [reason for reason in RejectionReason if f"`{reason}`" not in text] == []


@pytest.mark.parametrize(
    "record",
    [
        records.CropRecord,
        records.ShardHeader,
        records.DatasetManifest,
        records.PlannedSource,
        SelectionManifest,
        SelectedDataset,
        FilterCounts,
    ],
)
def test_the_documentation_names_every_field(record):
    text = FORMATS.read_text()
    fields = {field.name for field in dataclasses.fields(record)}
    assert {field for field in fields if f"`{field}`" not in text} == set()
