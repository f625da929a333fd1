"""Jobs pack parts of one dataset: killed, repeated, two of one part at once; the bytes are the same."""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
from commands import files, luigi
from crop_datasets import build, store
from failures import OPTIONS, assert_store_is_whole
from images import textured

from tasks.crops import MakeCrops, PackShard

PARTS = 8
SETTINGS = {"size_px": "128", "crops_per_shard": "8", "validation_fraction": "0.2"}
"""As `OPTIONS`."""


def test_parts_that_are_killed_repeated_and_run_twice_at_once_give_the_same_bytes(photo_folder, tmp_path):
    for number in range(4):
        cv2.imwrite(str(photo_folder / f"more{number}.png"), textured(20 + number, 300, 420))
    undisturbed, together = tmp_path / "undisturbed", tmp_path / "together"
    with store(undisturbed, **SETTINGS):
        assert build(MakeCrops(dataset=str(photo_folder)))
    expected = files(undisturbed)
    assert len([name for name in expected if name.endswith(".tar")]) >= PARTS
    command = ["PackShard", "--dataset", str(photo_folder), *OPTIONS, "--part"]
    for number in (1, 2):
        killed = luigi(together, *command, f"{number}/{PARTS}", when="amid", by="kill -9 $PPID")
        assert killed.returncode == -9
    assert_store_is_whole(together, expected, parts=2)
    meeting = tmp_path / "meeting"
    os.mkfifo(meeting)
    with ThreadPoolExecutor() as pool:
        for part in (
            f"3/{PARTS}",
            f"4/{PARTS}",
        ):  # each waits, amid its first shard, for the other to get there
            ends = [
                pool.submit(luigi, together, *command, part, when="amid", by=f": {way} {meeting}")
                for way in "<>"
            ]
            assert [end.result().returncode for end in ends] == [0, 0], [end.result().stderr for end in ends]
    with store(together, **SETTINGS):
        for number in range(1, PARTS + 3):
            assert build(PackShard(dataset=str(photo_folder), part=f"{number}/{PARTS}"))
        packed = {path: path.stat().st_ino for path in together.rglob("*.tar")}
        assert build(MakeCrops(dataset=str(photo_folder)))
        assert {path: path.stat().st_ino for path in together.rglob("*.tar")} == packed
    assert files(together) == expected
