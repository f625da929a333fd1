"""A dataset as plain files has the same images, lists that other trainers can read, and no incomplete folder."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from crop_datasets import make_crops

from data.errors import UserError
from data.hashing import sha256_bytes
from data.imaging.decode import decode
from data.shards import ShardPaths
from pipeline.dataset import read_all_records, read_manifest
from pipeline.export_folder import RECORD, export_folder, file_list_path, meta_info_path

DALI_READS = """
import hashlib, json, sys
from nvidia.dali import Pipeline, fn
root, names, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
pipeline = Pipeline(batch_size=count, num_threads=1, device_id=None)
with pipeline:
    stored, label = fn.readers.file(file_root=root, file_list=names)
    pipeline.set_outputs(fn.decoders.image(stored, device="cpu"), label)
pipeline.build()
images, labels = pipeline.run()
digests = [hashlib.sha256(images.at(n).tobytes()).hexdigest() for n in range(count)]
print(json.dumps([[digest, int(labels.at(n)[0])] for n, digest in enumerate(digests)]))
"""


@pytest.fixture
def crops(photo_folder, tmp_path):
    return make_crops(photo_folder, tmp_path / "store")


@pytest.fixture
def out(crops, tmp_path):
    export_folder(crops, tmp_path / "out", spec_hash="abc", threads=2)
    return tmp_path / "out"


def records_of(crops, split):
    return [one for one in read_all_records(crops, read_manifest(crops).shards) if one.split == split]


def names_in(path):
    return [line.split(" ")[0] for line in path.read_text().splitlines()]


def test_every_image_is_there_byte_for_byte_and_both_lists_name_it(crops, out):
    record = json.loads((out / RECORD).read_text())
    for split in ("train", "validation"):
        records = records_of(crops, split)
        assert record["crops"][split] == len(records) > 0
        assert names_in(file_list_path(out, split)) == names_in(meta_info_path(out, split))
        images = [out / split / name for name in names_in(file_list_path(out, split))]
        assert [sha256_bytes(path.read_bytes()) for path in images] == [one.sha256 for one in records]
        assert sorted(path for path in (out / split).rglob("*") if path.is_file()) == sorted(images)
        assert all(path.stat().st_nlink == 1 and not path.is_symlink() for path in images)


def test_a_line_of_meta_info_has_the_format_of_basicsr(crops, out):
    record = records_of(crops, "train")[0]
    number = record.shard.rpartition("-")[2]
    assert (
        meta_info_path(out, "train").read_text().splitlines()[0] == f"{number}/{record.key}.png (128,128,3)"
    )


def test_dali_reads_the_images_that_the_list_names(crops, out):
    pytest.importorskip("nvidia.dali")
    records = records_of(crops, "train")
    arguments = [str(out / "train"), str(file_list_path(out, "train")), str(len(records))]
    # In a separate process: DALI's threads and the forks of other tests do not go together.
    done = subprocess.run(
        [sys.executable, "-c", DALI_READS, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    expected = []
    for number, one in enumerate(records):
        with open(ShardPaths(crops, one.shard).tar, "rb") as tar:
            tar.seek(one.offset)
            expected.append([sha256_bytes(decode(tar.read(one.bytes)).tobytes()), number])
    assert json.loads(done.stdout.splitlines()[-1]) == expected


def test_an_interrupted_export_continues(crops, out, tmp_path):
    whole = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / RECORD).unlink()
    gone, *kept = sorted((out / "train").iterdir())
    shutil.rmtree(gone)
    # A killed writer leaves an incomplete folder of its own, here one of another host, long ago.
    left = gone.with_name(f".srf-{sha256_bytes(gone.name.encode())[:16]}-0123abcd.part")
    left.mkdir()
    (left / "half.png").write_bytes(b"\x89PNG")
    for path in (left / "half.png", left):
        os.utime(path, (0, 0))
    before = [path.stat().st_mtime_ns for path in kept]
    calls = []
    export_folder(
        crops, out, spec_hash="abc", progress=lambda done, total, note="": calls.append((done, total))
    )
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == whole
    assert [path.stat().st_mtime_ns for path in kept] == before
    total = read_manifest(crops).totals["crops"]
    assert 0 < calls[0][0] < total and calls[-1] == (total, total)


def test_a_damaged_image_is_not_copied(crops, tmp_path):
    record = records_of(crops, "train")[3]
    with open(ShardPaths(crops, record.shard).tar, "r+b") as tar:
        tar.seek(record.offset + 100)
        tar.write(b"\xff\x00\xff")
    with pytest.raises(UserError, match=f"crop {record.key}.*VerifyDataset --rebuild"):
        export_folder(crops, tmp_path / "out", spec_hash="abc")
    assert not (tmp_path / "out" / RECORD).exists()
    assert not list((tmp_path / "out").rglob(f"*{record.key}*"))


def test_a_full_disk_is_an_error_before_anything_is_copied(crops, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="free"):
        export_folder(crops, tmp_path / "out", spec_hash="abc")
    assert list((tmp_path / "out").iterdir()) == []
