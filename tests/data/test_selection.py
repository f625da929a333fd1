import json

import pytest
from selections import SELECTION_HASH, write_selection

from data.errors import UserError
from data.selection import open_split


@pytest.fixture
def selection(tmp_path):
    return write_selection(tmp_path, (3, 2), (1,), 64)


def test_a_split_lists_its_shards_in_order(selection):
    split = open_split(selection, "train", SELECTION_HASH)
    assert [name[-16:] for name in split.tars] == ["train-000000.tar", "train-000001.tar"]
    assert (split.samples, split.crop_size_px, split.image_extension) == (5, 64, "png")


def test_a_stale_index_is_refused(selection):
    index = selection.parent.parent / "index" / "train-000001.idx"
    index.write_text(index.read_text().replace("png 512 ", "png 513 "))
    with pytest.raises(UserError, match=r"train-000001\.idx"):
        open_split(selection, "train")


def test_a_truncated_tar_is_refused(selection):
    tar = selection.parent.parent / "shards" / "train-000000.tar"
    tar.write_bytes(tar.read_bytes()[:-512])
    with pytest.raises(UserError, match=r"train-000000\.tar"):
        open_split(selection, "train")


def test_another_selection_is_refused(selection):
    with pytest.raises(UserError, match="ba9876543210"):
        open_split(selection, "train", "ba9876543210")


def test_an_empty_split_is_refused(selection):
    manifest = json.loads(selection.read_text())
    manifest["splits"]["validation"] = []
    selection.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="has no samples in its split validation"):
        open_split(selection, "validation")
