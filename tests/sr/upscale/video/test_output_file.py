"""A file in the output's place is replaced or deleted only if the same store put it there."""

import errno
import os

import pytest
from odd_videos import make_odd_video

from data.atomic_files import atomic_file
from data.errors import UserError
from sr.upscale.video.output_file import OutputFile
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.upscale_video import partial_path, save_partial, upscale_video

QUICK = VideoUpscaleSettings(preset="ultrafast")


def put(file: OutputFile, content: bytes) -> None:
    with atomic_file(file.video, place=file.put) as part:
        part.write(content)


def refuse(*paths):
    raise OSError(errno.EPERM, "no links here")


@pytest.mark.parametrize("links", [True, False])
def test_only_our_own_file_is_replaced_or_removed(tmp_path, links, monkeypatch):
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    file = OutputFile(tmp_path / "store", tmp_path / "video.mkv")
    put(file, b"ours")
    put(file, b"ours again")
    assert file.is_ours() and file.video.read_bytes() == b"ours again"
    file.video.write_bytes(b"another program's")
    file.remove()
    for one in (file, OutputFile(tmp_path / "other", tmp_path / "video.mkv")):
        with pytest.raises(UserError, match="free place"):
            put(one, b"ours")
    assert file.video.read_bytes() == b"another program's"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other", "store", "video.mkv"]


@pytest.mark.parametrize("links", [True, False])
def test_of_two_processes_with_one_output_the_second_fails(tmp_path, links, monkeypatch):
    """Another process moves its video there between the check and the move."""
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    mine, other = (OutputFile(tmp_path / name, tmp_path / "video.mkv") for name in ("mine", "other"))
    monkeypatch.setattr(mine, "_write_receipt", lambda files: put(other, b"the other's"))
    with pytest.raises(UserError, match="free place"):
        put(mine, b"mine")
    assert other.is_ours() and other.video.read_bytes() == b"the other's"


def test_a_file_with_the_partial_name_is_not_replaced(tmp_path):
    output, store = tmp_path / "video.mkv", tmp_path / "store"
    source = make_odd_video(partial_path(output), 12)
    before = source.read_bytes()
    upscale_video(source, output, store, "bicubic", QUICK)
    with pytest.raises(UserError, match="free place"):
        save_partial(source, output, store, QUICK)
    assert source.read_bytes() == before
