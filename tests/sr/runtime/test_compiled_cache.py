"""The cache of compiled models: complete files only, a size limit, and a directory set by the environment."""

import os

import pytest

from data.errors import UserError
from sr.runtime import compiled_cache
from sr.runtime.compiled_cache import find_cache_directory, load, save


def test_saved_files_are_loaded_and_damaged_ones_are_missing(tmp_path):
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


def test_the_least_recently_used_files_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_cache, "LARGEST_BYTES", 3 * (64 + 100))
    for number in range(3):
        save(tmp_path, f"key{number}", bytes(100))
        os.utime(tmp_path / f"key{number}.blob", (number, number))
    assert load(tmp_path, "key0") is not None  # used, and so no longer the oldest
    save(tmp_path, "key3", bytes(100))
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["key0", "key2", "key3"]


def test_an_unwritable_directory_caches_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    save(tmp_path / "file" / "below", "key", b"compiled")
    assert load(tmp_path / "file" / "below", "key") is None


def test_the_environment_sets_the_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("SR_COMPILED_MODELS", "off")
    assert find_cache_directory() is None
    monkeypatch.setenv("SR_COMPILED_MODELS", str(tmp_path))
    assert find_cache_directory() == tmp_path
    monkeypatch.setenv("SR_COMPILED_MODELS", "somewhere")
    with pytest.raises(UserError, match="must be an absolute path or off, got 'somewhere'"):
        find_cache_directory()
    monkeypatch.delenv("SR_COMPILED_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_cache_directory() == tmp_path / "super-resolution-factory" / "compiled"
