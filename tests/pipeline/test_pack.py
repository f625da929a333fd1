import cv2
import numpy as np
import pytest
from pictures import textured

from data.images import decode
from data.records import Reason
from data.shards import ShardPaths, read_header, read_records, read_rejections
from data.sources.folder import FolderSource
from pipeline.index import index_source, read_entries
from pipeline.pack import PackSettings, crop_source, pack_shard, shrink
from pipeline.plan import PlanSettings, plan_dataset
from pipeline.screen import ScreenSettings

SETTINGS = PackSettings("png", 95, ScreenSettings(200, 60))


@pytest.fixture
def planned(photo_folder, tmp_path):
    cv2.imwrite(str(photo_folder / "sky.png"), np.full((300, 300, 3), 200, np.uint8))
    source = FolderSource(photo_folder)
    index_source(source, "photos", tmp_path / "index", least_side_px=128, max_bad_fraction=0)
    plan, _ = plan_dataset(
        read_entries(tmp_path / "index"), PlanSettings(128, (1, 2), 0, 0.0, 1000, 0), "photos"
    )
    return source, plan


def test_the_bytes_do_not_depend_on_threads(planned, tmp_path):
    source, plan = planned
    for threads in (1, 2, 5):
        pack_shard(
            plan, source, ShardPaths(tmp_path / str(threads), "train-000000"), SETTINGS, threads=threads
        )
    files = [path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file()]
    assert len(files) == 5
    for file in files:
        assert len({(tmp_path / threads / file).read_bytes() for threads in "125"}) == 1, file


def test_crops_are_the_planned_pixels_and_nothing_vanishes(planned, tmp_path):
    source, plan = planned
    paths = ShardPaths(tmp_path / "d", "train-000000")
    pack_shard(plan, source, paths, SETTINGS, threads=2)
    records, rejections = list(read_records(paths)), list(read_rejections(paths.rejections))
    crops = [crop for one in plan for crop in one.crops]
    assert len(records) + len(rejections) == len(crops)
    assert {one.reason for one in rejections} == {Reason.FLAT}
    assert [one.key for one in records] == [
        crop.key for crop in crops if crop.key in {one.key for one in records}
    ]
    pictures = {entry.id: picture for entry, picture in source.read([one.entry for one in plan])}
    with open(paths.tar, "rb") as tar:
        for one in records:
            tar.seek(one.offset)
            box, whole = one.box, shrink(pictures[one.source], one.shrink)
            expected = whole[box.top : box.top + box.height, box.left : box.left + box.width]
            assert np.array_equal(decode(tar.read(one.bytes)), expected)
    assert read_header(paths.header).samples == len(records)


def test_a_damaged_source_is_one_rejection(planned, photo_folder):
    source, plan = planned
    one = next(one for one in plan if one.entry.id == "p0.png")
    content = (photo_folder / "p0.png").read_bytes()[:-100]
    (photo_folder / "p0.png").write_bytes(content)
    import dataclasses
    import hashlib

    entry = dataclasses.replace(one.entry, sha256=hashlib.sha256(content).hexdigest())
    samples, rejections = crop_source(dataclasses.replace(one, entry=entry), source, SETTINGS)
    assert samples == []
    assert [rejection.reason for rejection in rejections] == [Reason.UNREADABLE]


def test_jpeg_crops(planned):
    source, plan = planned
    samples, _ = crop_source(plan[0], source, PackSettings("jpg", 90, ScreenSettings(0, 0)))
    assert all(picture[:2] == b"\xff\xd8" for _, picture in samples)


def test_shrinking_takes_the_mean_of_whole_cells():
    picture = textured(5, 9, 11)
    expected = picture[:8, :10].reshape(4, 2, 5, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(shrink(picture, 2) - expected).max() <= 0.5
    assert shrink(picture, 1) is picture
