"""What stands in a video's place is written over and deleted only where it was put there from the same store."""

import os
from pathlib import Path

import pytest
from odd_videos import make_odd_video

from data.atomic_files import atomic_file
from data.errors import UserError
from sr.upscale.video.output_file import Place
from sr.upscale.video.settings import VideoSettings
from sr.upscale.video.upscale_video import partial_path, salvage, upscale_video

QUICK = VideoSettings(preset="ultrafast")


def put(place: Place, content: bytes) -> None:
    with atomic_file(place.video, place=place.put) as file:
        file.write(content)


@pytest.mark.parametrize("links", [True, False])
def test_only_what_was_put_there_is_replaced_and_removed(tmp_path, links, monkeypatch):
    if not links:
        monkeypatch.setattr(os, "link", lambda *given: Path("/nothing").stat())
    place = Place(tmp_path / "store", tmp_path / "video.mkv")
    put(place, b"ours")
    put(place, b"ours again")
    assert place.is_ours() and place.video.read_bytes() == b"ours again"
    place.video.write_bytes(b"a stranger's")
    place.remove()
    for one in (place, Place(tmp_path / "other", tmp_path / "video.mkv")):
        with pytest.raises(UserError, match="free place"):
            put(one, b"ours")
    assert place.video.read_bytes() == b"a stranger's"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other", "store", "video.mkv"]


@pytest.mark.parametrize("links", [True, False])
def test_of_two_at_one_place_the_second_is_told(tmp_path, links, monkeypatch):
    """Another process places its video between the look and the move."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *given: Path("/nothing").stat())
    mine, other = (Place(tmp_path / name, tmp_path / "video.mkv") for name in ("mine", "other"))
    monkeypatch.setattr(mine, "_write", lambda files: put(other, b"the other's"))
    with pytest.raises(UserError, match="free place"):
        put(mine, b"mine")
    assert other.is_ours() and other.video.read_bytes() == b"the other's"


def test_an_input_or_a_file_under_the_partial_name_stays(tmp_path):
    output, store = tmp_path / "video.mkv", tmp_path / "store"
    source = make_odd_video(partial_path(output), 12)
    before = source.read_bytes()
    upscale_video(source, output, store, "bicubic", QUICK)
    with pytest.raises(UserError, match="free place"):
        salvage(source, output, store, QUICK)
    assert source.read_bytes() == before
