"""The store fails during a run: it is full, read-only or gone. Once it is repaired, the next run continues."""

import subprocess

import pytest
from commands import files, luigi
from failures import assert_one_error_line, assert_store_is_whole, mount

BLOCK_BYTES = 4096


def test_a_write_finds_no_space(options, undisturbed, tmp_path):
    """A full disk on a machine where none can be mounted: only the error itself is simulated."""
    tars = [content for name, content in undisturbed.items() if name.endswith(".tar")]
    store, room_bytes = tmp_path / "store", sum(map(len, tars)) // 2
    failed = luigi(store, "MakeCrops", *options, when="full", by=str(room_bytes))
    assert_one_error_line(failed, "No space left", "[store] root", str(store), "make room")
    assert_store_is_whole(store, undisturbed)
    assert 0 < len(list(store.glob("crops/*/manifest/*-[0-9]*[0-9].json"))) < len(tars)
    assert luigi(store, "MakeCrops", *options).returncode == 0
    assert files(store) == undisturbed


def test_the_disk_is_full(disk, options, undisturbed):
    before = [content for name, content in undisturbed.items() if not name.startswith("crops/")]
    tars = [content for name, content in undisturbed.items() if name.endswith(".tar")]
    blocks = sum(-(-len(content) // BLOCK_BYTES) for content in before)
    blocks += sum(-(-len(content) // BLOCK_BYTES) for content in tars) // 2
    mount("-o", f"remount,size={blocks * BLOCK_BYTES}", str(disk))
    store = disk / "store"
    assert_one_error_line(
        luigi(store, "MakeCrops", *options), "No space left", "[store] root", str(store), "make room"
    )
    assert_store_is_whole(store, undisturbed)
    packed = len(list(store.glob("crops/*/manifest/*-[0-9]*[0-9].json")))
    assert 0 < packed < len(tars), "the disk was full midway through packing"
    mount("-o", "remount,size=64m", str(disk))
    assert luigi(store, "MakeCrops", *options).returncode == 0
    assert files(store) == undisturbed


def test_the_disk_becomes_read_only(disk, options, undisturbed):
    store = disk / "store"
    assert luigi(store, "PlanCrops", *options).returncode == 0
    mount("-o", "remount,ro", str(disk))
    before = files(store)
    assert_one_error_line(
        luigi(store, "MakeCrops", *options), "Read-only", "[store] root", "make it writable"
    )
    assert_one_error_line(luigi(disk / "other", "MakeCrops", *options), "Read-only", "[store] root")
    assert files(disk) == {f"store/{name}": content for name, content in before.items()}
    mount("-o", "remount,rw", str(disk))
    assert luigi(store, "MakeCrops", *options).returncode == 0
    assert files(store) == undisturbed


@pytest.mark.parametrize("way", ["unmounted", "moved"])
def test_the_store_disappears(way, options, undisturbed, tmp_path):
    store, away = tmp_path / "store", tmp_path / "away"
    remove, restore = f"mv {store} {away}", f"mv {away} {store}"
    if way == "unmounted":
        store.mkdir()
        away.mkdir()
        remove, restore = f"umount --lazy {store}", f"mount --bind {away} {store}"
        mount("--bind", str(away), str(store))
    try:
        failed = luigi(store, "MakeCrops", *options, when="amid", by=remove)
        assert_one_error_line(failed, "[store] root", str(store), "bring it back", "mount")
        assert_store_is_whole(away, undisturbed, parts=1)
        assert not store.exists() or not any(store.iterdir()), "no second store was made in its place"
        subprocess.run(restore, shell=True, check=True)
        assert luigi(store, "MakeCrops", *options).returncode == 0
        assert files(store) == undisturbed, "leftovers are removed"
    finally:
        if way == "unmounted":
            subprocess.run(["umount", "--lazy", store], capture_output=True, check=False)
