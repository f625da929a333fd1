"""Make datasets of videos and discs from the command line; a small program stands in for MakeMKV."""

import json
import os
import sys
from pathlib import Path

import pytest
from commands import files, luigi
from videos import make_video, numbered

DENSE = [
    "--video-min-spacing-s",
    "0.3",
    "--video-typical-spacing-s",
    "0.6",
    "--video-max-spacing-s",
    "1",
]
SMALL = [
    "--crops-size-px",
    "64",
    "--crops-crops-per-shard",
    "8",
    "--crops-validation-fraction",
    "0.2",
    # The frames show their number in squares, which lie on the grid of blocks.
    "--crops-max-bhi-blockiness",
    "1000",
]
MAKEMKV = """#!{python}
import shutil, sys
switches, (verb, disc, titles, folder) = sys.argv[1:-4], sys.argv[-4:]
assert switches == ["-r", "--progress=-same"] and (verb, disc, titles) == ("mkv", "disc:1", "all"), sys.argv
print('MSG:1005,0,1,"MakeMKV v1.18.1 started","%1 started","MakeMKV v1.18.1"')
print('DRV:0,0,999,0,"BD-RE","",""')
print('DRV:1,2,999,12,"BD-RE","THE \\\\"VIDEO\\\\", 2026","/dev/sr1"')
print('PRGT:5018,0,"Saving all titles to MKV files"')
for done in range(0, 65537, 8192):
    print('PRGC:5017,0,"Saving to MKV file"')
    print(f"PRGV:{{done}},{{done}},65536", flush=True)
for title, saves in enumerate({titles!r}):
    if saves:
        shutil.copy({video!r}, f"{{folder}}/title_t{{title:02}}.mkv")
    else:
        print(f'MSG:5003,0,2,"Failed to save title {{title}} to file","Failed to save title %1","{{title}}"')
saved, failed = {titles!r}.count(1), {titles!r}.count(0)
if failed:
    print(f'MSG:5037,516,2,"Copy complete. {{saved}} titles saved, {{failed}} failed.","Copy complete. %1 titles saved, %2 failed.","{{saved}}","{{failed}}"')
else:
    print(f'MSG:5036,260,1,"Copy complete. {{saved}} titles saved.","Copy complete. %1 titles saved.","{{saved}}"')
"""  # noqa: E501


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Return a video of eight shots of 1.5 s, each in another color."""
    path = tmp_path_factory.mktemp("videos") / "video.mkv"
    return make_video(path, lambda number: numbered(number, 192, 320, number // 36), 288)


def install(folder: Path, video: Path, titles: list[int]) -> str:
    """Write a makemkvcon that saves the titles that are 1; return a PATH that finds it first."""
    folder.mkdir(exist_ok=True)
    program = folder / "makemkvcon"
    program.write_text(MAKEMKV.format(python=sys.executable, video=str(video), titles=titles))
    program.chmod(0o755)
    return os.pathsep.join([str(folder), os.environ["PATH"]])


def test_a_video_becomes_a_dataset_the_same_with_any_number_of_workers(video, tmp_path):
    stores = {}
    for workers in ("1", "4"):
        store = tmp_path / workers
        result = luigi(store, "MakeCrops", "--dataset", str(video), *DENSE, *SMALL, "--workers", workers)
        assert result.returncode == 0, result.stderr
        stores[workers] = files(store)
    assert stores["1"] == stores["4"]
    (record,) = [name for name in stores["1"] if name.endswith("dataset.json")]
    manifest = json.loads(stores["1"][record])
    assert len(manifest["shards"]) >= 3 and manifest["totals"]["crops"] >= 20
    crops = [
        json.loads(line)
        for name, content in stores["1"].items()
        if "/manifest/" in name and name.endswith("0.jsonl")
        for line in content.splitlines()
    ]
    assert {crop["downscale_factor"] for crop in crops} == {2}, (
        "the first downscaling removes the chroma subsampling"
    )
    scenes = {
        split: {crop["group"] for crop in crops if crop["split"] == split}
        for split in ("train", "validation")
    }
    assert scenes["train"] and scenes["validation"] and not scenes["train"] & scenes["validation"]


def test_a_disc_is_ripped_and_becomes_a_dataset(video, tmp_path):
    path = install(tmp_path / "bin", video, [1, 1])
    result = luigi(tmp_path / "store", "RipDisc", "--disc", "1", "--title", "The Video", path=path)
    assert result.returncode == 0, result.stderr
    assert "2 videos" in result.stdout
    (record,) = (tmp_path / "store").glob("discs/The-Video-*/disc.json")
    content = json.loads(record.read_text())
    assert content["disc"] == 'THE "VIDEO", 2026'
    assert [one["name"] for one in content["videos"]] == ["title_t00.mkv", "title_t01.mkv"]
    assert (record.parent / "videos" / "title_t01.mkv").read_bytes() == video.read_bytes()
    # Without MakeMKV now: the disc must not be ripped again.
    result = luigi(tmp_path / "store", "MakeCrops", "--dataset", "disc:1:The Video", *DENSE, *SMALL)
    assert result.returncode == 0, result.stderr
    (manifest,) = (tmp_path / "store").glob("crops/The-Video-*/dataset.json")
    counts = json.loads(manifest.read_text())
    assert counts["totals"]["crops"] > 0 and set(counts["rejections"]) >= {"duplicate"}, "two equal titles"


def test_failed_titles_are_listed_and_nothing_is_left(video, tmp_path):
    result = luigi(
        tmp_path / "store", "RipDisc", "--disc", "1", path=install(tmp_path / "bin", video, [1, 0])
    )
    assert result.returncode != 0
    (line,) = result.stderr.strip().splitlines()
    assert "1 saved and 1 failed" in line and "Failed to save title 1" in line and "disc:1" in line
    assert not files(tmp_path / "store")


def test_without_makemkv_it_says_what_to_install(tmp_path):
    result = luigi(tmp_path / "store", "RipDisc", path=str(Path(sys.executable).parent))
    assert result.returncode != 0
    (line,) = result.stderr.strip().splitlines()
    assert "makemkvcon" in line and "Install MakeMKV" in line
    assert not files(tmp_path / "store")


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (b"no video", [], ["no video: Invalid data", "odd.mkv"]),
        (None, ["--video-min-spacing-s", "20"], ["0 < min_spacing_s", "[video]"]),
    ],
    ids=["no video", "spacing"],
)
def test_a_mistake_is_one_line_that_says_what_to_do(content, options, words, video, tmp_path):
    path = video
    if content:
        path = tmp_path / "odd.mkv"
        path.write_bytes(content)
    result = luigi(tmp_path / "store", "MakeCrops", "--dataset", str(path), *options)
    (line,) = result.stderr.strip().splitlines()
    assert result.returncode != 0 and "Traceback" not in line
    for word in words:
        assert word in line
    assert not files(tmp_path / "store")
