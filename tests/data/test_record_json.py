import json

import pytest

from data.errors import UserError
from data.record_json import from_plain, to_plain
from data.records import (
    Box,
    CropRecord,
    DatasetManifest,
    PlannedCrop,
    PlannedSource,
    Rejection,
    RejectionReason,
    ShardHeader,
    SourceEntry,
)
from data.selection import SelectedShard, SelectionManifest

ENTRY = SourceEntry("a/b.png", "a/b.png", 640, 480, "png", 12345, "ab" * 32, False, "a", 8)
HEADER = ShardHeader(2, "train-000000", "train", 2, 1, 10, 2048, "aa", "bb", "cc", "dd")
EXAMPLES = [
    ENTRY,
    Rejection("x", "pack", RejectionReason.FLAT, "contrast 3"),
    PlannedSource(ENTRY, "train", 0, 3),
    PlannedCrop("k", 2, Box(1, 2, 3, 4)),
    HEADER,
    DatasetManifest(
        DatasetManifest.VERSION,
        "d",
        "ff",
        "t",
        "MIT",
        512,
        "png",
        (HEADER,),
        {"crops": 2},
        {"flat": 1},
        "",
        {"README.md": "ab"},
    ),
    CropRecord(
        "k",
        "train-000000",
        512,
        900,
        "ab",
        "a/b.png",
        "cd",
        2,
        Box(1, 2, 3, 4),
        "0" * 16,
        "f" * 16,
        {"contrast": 31.5, "noise": 2.0},
        "train",
        "a",
    ),
    SelectionManifest(
        2,
        "ff",
        512,
        "png",
        {"train": (SelectedShard("a.tar", "a.idx", 2, 2048, "aa", "bb"),), "validation": ()},
        {"train": 2, "validation": 0, "rejected": 0},
        {},
    ),
]


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_records_come_back_equal_from_json(record):
    assert from_plain(type(record), json.loads(json.dumps(to_plain(record))), "here") == record


def test_another_schema_version_is_refused():
    with pytest.raises(
        UserError, match=r"here holds ShardHeader version 3, but this program reads version 2"
    ):
        from_plain(ShardHeader, to_plain(HEADER) | {"schema": 3}, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"width": "640"}, "of type int"), ({"width": True}, "of type int"), ({"color": 1}, "color")],
)
def test_a_field_of_another_type_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        from_plain(SourceEntry, to_plain(ENTRY) | change, "here")


def test_an_unknown_reason_is_refused():
    plain = to_plain(Rejection("x", "pack", RejectionReason.FLAT, "contrast 3")) | {"reason": "too_yellow"}
    with pytest.raises(UserError, match="here contains 'too_yellow', which is none of .*flat"):
        from_plain(Rejection, plain, "here")


def test_missing_fields_are_named():
    plain = to_plain(ENTRY)
    del plain["sha256"]
    with pytest.raises(UserError, match="sha256"):
        from_plain(SourceEntry, plain, "here")
