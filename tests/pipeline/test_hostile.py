"""The corpus of hostile files passes from folder, zip and tar to a shard: the run continues, and no file vanishes."""

import dataclasses
import gzip
import os

import numpy as np
import pytest
from hostile_archives import FOLDER_EXTRAS, TAR_EXTRAS, ZIP_EXTRAS, write_folder, write_tar, write_zip
from hostile_images import HEIGHT, WIDTH, image_cases
from settings import pack_settings, plan_settings

from data.imaging.decode import decode
from data.records import RejectionReason
from data.shards import ShardPaths, read_records, read_rejections
from data.sources.archive import ArchiveSource
from data.sources.folder import FolderSource
from pipeline.crop_plan import plan_dataset
from pipeline.index import REJECTIONS, index_source, read_entries
from pipeline.pack import pack_shard

CASES = image_cases(seed=4)
SIDE_PX = 64


def tree(root):
    return sorted((folder, *sorted(files)) for folder, _, files in os.walk(root))


def sources(kind, root):
    if kind == "folder":
        (root / "it").mkdir()
        write_folder(root / "it", CASES)
        return FolderSource(root / "it"), FOLDER_EXTRAS
    path = root / f"it.{kind}"
    if kind == "zip":
        write_zip(path, CASES)
        return ArchiveSource([path]), ZIP_EXTRAS
    write_tar(path, CASES)
    if kind == "tar.gz":
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    return ArchiveSource([path]), TAR_EXTRAS


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_each_case_ends_as_its_pixels_or_as_a_rejection(kind, tmp_path):
    source, extras = sources(kind, tmp_path)
    before, store = tree(tmp_path), tmp_path / "store"
    index_source(source, "hostile", store / "index", min_side_px=16, max_bad_fraction=1, threads=3)
    entries = read_entries(store / "index")
    rejected = list(read_rejections(store / "index" / REJECTIONS))
    ids = [one.id for one in [*entries, *rejected]]
    assert sorted(ids) == sorted([case.name for case in CASES] + list(extras)), "no file vanishes"

    entries = [dataclasses.replace(entry, lossy=False) for entry in entries]
    sizes = plan_settings(size_px=SIDE_PX, downscale_factors=(1,))
    plan, too_small = map(list, plan_dataset(entries, sizes, "hostile"))
    paths = ShardPaths(store / "crops", "train-000000")
    pack_shard(plan, source, paths, pack_settings(sizes), processes=2)
    packed = list(read_rejections(paths.rejections))
    reasons = {one.id: one.reason for one in [*rejected, *too_small, *packed]}
    records = list(read_records(paths))
    assert len(records) == 2 * sum(one.entry.id not in reasons for one in plan)

    expected = {case.name: case for case in CASES}
    for id, reason in reasons.items():
        if id in expected:
            assert reason in expected[id].reasons, id
        else:
            assert reason is extras[id], id
    with open(paths.tar, "rb") as tar:
        for record in records:
            case = expected.get(record.source)
            assert case is None or case.pixels is not None, record.source
            assert case or extras[record.source] is None, record.source
            if case:
                tar.seek(record.offset)
                box = record.box
                wanted = case.pixels[box.top : box.top + box.height, box.left : box.left + box.width]
                found = decode(tar.read(record.bytes)).astype(int)
                assert np.abs(found - wanted).mean() <= 1.5 * case.tolerance, case.name
    after = [row for row in tree(tmp_path) if not row[0].startswith(str(store))]
    assert after == before, "nothing is written outside the store"


def test_there_are_enough_cases():
    assert len(CASES) >= 60 and (HEIGHT, WIDTH) == (96, 128)
    bad = sum(case.pixels is None for case in CASES)
    assert bad >= 40 and len(CASES) - bad >= 40
    assert {reason for case in CASES for reason in case.reasons} >= {
        RejectionReason.UNREADABLE,
        RejectionReason.NOT_AN_IMAGE,
        RejectionReason.UNSUPPORTED,
        RejectionReason.TOO_LARGE,
    }
