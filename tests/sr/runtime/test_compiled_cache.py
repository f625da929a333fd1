"""The files of compiled models: whole or absent, bounded, and where the environment says."""

import os

import pytest

from data.errors import UserError
from sr.runtime import compiled_cache
from sr.runtime.compiled_cache import cache_directory, load, save


def test_what_was_saved_is_loaded_and_what_is_damaged_is_absent(tmp_path):
    directory = tmp_path / "made" / "here"
    assert load(directory, "key") is None
    save(directory, "key", b"compiled")
    assert load(directory, "key") == b"compiled"
    assert directory.stat().st_mode & 0o077 == 0
    (path,) = directory.iterdir()
    whole = path.read_bytes()
    for broken in (whole[:-1], whole[:-1] + b"!", whole[:10], b""):
        path.write_bytes(broken)
        assert load(directory, "key") is None
    save(directory, "key", b"again")
    assert load(directory, "key") == b"again"


def test_what_was_not_used_for_longest_makes_room(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_cache, "LARGEST_BYTES", 3 * (64 + 100))
    for number in range(3):
        save(tmp_path, f"key{number}", bytes(100))
        os.utime(tmp_path / f"key{number}.blob", (number, number))
    assert load(tmp_path, "key0") is not None  # used, and so no longer the oldest
    save(tmp_path, "key3", bytes(100))
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["key0", "key2", "key3"]


def test_a_directory_that_cannot_be_written_is_no_cache(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    save(tmp_path / "file" / "below", "key", b"compiled")
    assert load(tmp_path / "file" / "below", "key") is None


def test_the_environment_says_where(monkeypatch, tmp_path):
    monkeypatch.setenv("SR_COMPILED_MODELS", "off")
    assert cache_directory() is None
    monkeypatch.setenv("SR_COMPILED_MODELS", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.setenv("SR_COMPILED_MODELS", "somewhere")
    with pytest.raises(UserError, match="absolute path, or off"):
        cache_directory()
    monkeypatch.delenv("SR_COMPILED_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "super-resolution-factory" / "compiled"
