"""Every kind of damage is found and named from the lowest level on that must find it."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from crop_datasets import make_crops
from images import textured

from data.atomic_files import write_json
from data.dali_index import encode_index, read_index
from data.errors import UserError
from data.hashing import sha256_file, xxh3_file
from data.imaging.encode import encode_jpeg, encode_png
from data.record_json import to_plain
from data.shards import ShardPaths, read_header, read_records
from pipeline.dataset import RECORD, read_manifest
from pipeline.verify import LEVELS, verify_dataset

SHARD = "train-000001"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    (root / "photos").mkdir()
    for number in range(6):
        (root / "photos" / f"{number}.png").write_bytes(encode_png(textured(number, 400, 500 + 10 * number)))
    shutil.copy(root / "photos" / "0.png", root / "photos" / "again.png")
    return make_crops(root / "photos", root / "store")


@pytest.fixture
def crops(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "crops"))


@pytest.fixture
def paths(crops):
    return ShardPaths(crops, SHARD)


def overwrite(path, offset: int, content: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(content)


def cut_off(paths):
    os.truncate(paths.tar, 3000)
    return "3000 bytes"


def lose(paths):
    paths.index.unlink()
    return "is missing"


def never_reach_the_disk(paths):
    size = paths.tar.stat().st_size
    paths.tar.write_bytes(bytes(size))
    return "header|differs from its sha256"


def mix_up_indexes(paths):
    shutil.copy(ShardPaths(paths.directory, "train-000000").index, paths.index)
    return "digest"


def exchange_headers(paths):
    shutil.copy(ShardPaths(paths.directory, "train-000000").header, paths.header)
    return "differs from the header in dataset.json"


def lose_a_rejection(paths):
    (paths.directory / "rejections.jsonl").write_text("")
    return "digest"


def write_another_card(paths):
    (paths.directory / "README.md").write_text("path: shards/ junk")
    return "digest"


def exchange_the_contact_sheet(paths):
    (paths.directory / "contact-sheet.jpg").write_bytes(encode_jpeg(textured(1, 8, 8)))
    return "digest"


def lose_the_spec(paths):
    (paths.directory / "spec.json").unlink()
    return "does not exist"


def change_the_parquet(paths):
    overwrite(paths.directory / "dataset.parquet", 40, b"\xff\x00\xff")
    return "digest"


def edit_the_spec(paths):
    (paths.directory / "spec.json").write_text("{}")
    return "hash"


def add_a_shard(paths):
    shutil.copy(paths.tar, paths.tar.with_name("train-000099.tar"))
    return "belongs to no shard"


def flip_a_bit(paths):
    record = list(read_records(paths))[2]
    overwrite(paths.tar, record.offset + record.bytes // 2, b"\xff\x00\xff")
    return f"crop {record.key}: the image differs from its sha256"


def change_a_description(paths):
    key, at = next((line.key, line.components[1][1]) for line in read_index(paths.index)[2:])
    overwrite(paths.tar, at + 2, b"X")
    return f"crop {key}: its .json differs from its record"


def renew_hashes(paths):
    """Make all records agree with the current files, as a faulty packer would."""
    header = to_plain(read_header(paths.header))
    header["tar_xxh3"] = xxh3_file(paths.tar)
    for name, path in (("index", paths.index), ("manifest", paths.manifest)):
        header[f"{name}_sha256"] = sha256_file(path)
    write_json(paths.header, header)
    manifest = to_plain(read_manifest(paths.directory))
    manifest["shards"] = [header if one["shard"] == SHARD else one for one in manifest["shards"]]
    write_json(paths.directory / RECORD, manifest)


def write_what_cannot_be_decoded(paths):
    records = [to_plain(record) for record in read_records(paths)]
    one = records[2]
    with open(paths.tar, "r+b") as tar:
        tar.seek(one["offset"] + 41)
        tar.write(b"\xff" * 40)
        tar.seek(one["offset"])
        old, one["sha256"] = one["sha256"], hashlib.sha256(tar.read(one["bytes"])).hexdigest()
    paths.tar.write_bytes(paths.tar.read_bytes().replace(old.encode(), one["sha256"].encode()))
    paths.manifest.write_text("".join(json.dumps(record) + "\n" for record in records))
    renew_hashes(paths)
    return f"crop {one['key']}: unreadable"


def point_the_index_elsewhere(paths):
    lines = read_index(paths.index)
    lines[1], lines[2] = lines[2], lines[1]
    paths.index.write_bytes(encode_index(lines))
    renew_hashes(paths)
    return "where the index has"


DAMAGE = {
    "headers": [
        cut_off, lose, never_reach_the_disk, mix_up_indexes, exchange_headers, lose_a_rejection, edit_the_spec,
        add_a_shard, write_another_card, exchange_the_contact_sheet, lose_the_spec,
    ],
    "hashes": [flip_a_bit, change_a_description, change_the_parquet],
    "full": [write_what_cannot_be_decoded, point_the_index_elsewhere],
}  # fmt: skip


def test_a_sound_dataset_passes_every_level(crops):
    before = {path: path.stat().st_mtime_ns for path in crops.rglob("*")}
    assert [verify_dataset(crops, level, processes=2) for level in LEVELS] == [[], [], []]
    assert {path: path.stat().st_mtime_ns for path in crops.rglob("*")} == before


@pytest.mark.parametrize(
    ("level", "harm"), [(level, harm) for level, harms in DAMAGE.items() for harm in harms]
)
def test_damage_is_found_and_named_from_its_level_on(level, harm, paths):
    detail = harm(paths)
    for tried in LEVELS:
        found = verify_dataset(paths.directory, tried, processes=2)
        if LEVELS.index(tried) < LEVELS.index(level):
            assert found == []
            continue
        assert any(re.search(detail, one.detail) for one in found), found
        assert {one.shard for one in found} <= {SHARD, ""}
        assert all((paths.directory / one.file).parent.is_dir() for one in found)


def test_headers_reads_next_to_nothing_of_the_tars(crops):
    """Its cost must not grow with the size of the shards."""
    sizes = {path: path.stat().st_size for path in crops.rglob("*") if path.is_file()}
    tars = sum(size for path, size in sizes.items() if path.suffix == ".tar")
    read = {level: bytes_read(lambda level=level: verify_dataset(crops, level)) for level in LEVELS}
    assert read["headers"] - (sum(sizes.values()) - tars) < tars / 5
    assert read["hashes"] > tars


def bytes_read(work) -> int:
    """Return how many bytes this process reads while it runs `work`."""

    def count():
        return int(re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text())[1])

    before = count()
    work()
    return count() - before


def test_damage_of_dataset_json_is_found(crops):
    (crops / RECORD).write_text("{")
    (damage,) = verify_dataset(crops, "hashes")
    assert (damage.shard, damage.file) == ("", RECORD)


def test_a_missing_dataset_is_an_error(tmp_path):
    with pytest.raises(UserError, match="There is no crop dataset"):
        verify_dataset(tmp_path, "headers")
