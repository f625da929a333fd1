"""A folder that is held is not made anew."""

import pytest

from data import held_folders
from data.atomic_files import write_bytes
from data.held_folders import holding, make_folder


def test_nothing_is_made_below_a_held_folder_that_is_gone(tmp_path):
    store, away = tmp_path / "store", tmp_path / "away"
    write_bytes(store / "plans" / "one.json", b"1")
    with holding(store):
        make_folder(store / "crops" / "one")
        store.rename(away)
        with pytest.raises(FileNotFoundError) as error:
            write_bytes(store / "plans" / "two.json", b"2")
        assert error.value.filename == str(store)
        assert not store.exists()
        store.mkdir()  # the place of a disk that is not mounted
        with pytest.raises(FileNotFoundError):
            make_folder(store / "plans")
        store.rmdir()
        away.rename(store)
        write_bytes(store / "more" / "two.json", b"2")
    store.rename(away)
    write_bytes(store / "plans" / "two.json", b"2")
    assert (store / "plans" / "two.json").read_bytes() == b"2", "afterward it is a folder like any other"


def test_a_folder_that_vanishes_at_the_last_moment_is_not_made_anew(tmp_path, monkeypatch):
    store = tmp_path / "store"
    write_bytes(store / "plans" / "one.json", b"1")

    def vanish(held):
        store.rename(tmp_path / "away")
        return False

    with holding(store):
        monkeypatch.setattr(held_folders, "_is_gone", vanish)
        with pytest.raises(FileNotFoundError) as error:
            make_folder(store / "crops" / "one" / "shards")
    assert error.value.filename == str(store) and not store.exists()


def test_a_folder_may_be_held_twice_from_before_it_is_made(tmp_path):
    store = tmp_path / "store"
    with holding(store):
        with holding(store):
            pass
        write_bytes(store / "one.json", b"1")
        make_folder(store / "plans")
    assert held_folders._held == []


def test_a_held_folder_may_be_emptied(tmp_path):
    store = tmp_path / "store"
    write_bytes(store / "plans" / "one.json", b"1")
    with holding(store):
        (store / "plans" / "one.json").unlink()
        (store / "plans").rmdir()
        make_folder(store / "crops")
    assert (store / "crops").is_dir()


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_is_still_to_be_filled_is_not_held(exists, tmp_path):
    store = tmp_path / "store"
    if exists:
        store.mkdir()
    with holding(store):
        make_folder(store / "plans" / "one")
    assert (store / "plans" / "one").is_dir()
