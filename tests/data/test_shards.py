import dataclasses
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from images import textured

from data.atomic_files import write_bytes
from data.dali_index import encode_index, read_index
from data.errors import UserError
from data.hashing import xxh3_file
from data.imaging.decode import decode
from data.imaging.encode import encode_png
from data.records import Box, CropRecord, Rejection, RejectionReason
from data.shards import (
    ShardPaths,
    check_file,
    check_size,
    open_shard,
    read_header,
    read_image,
    read_records,
    read_rejections,
    shard_name,
)


def record(key: str) -> CropRecord:
    box = Box(0, 0, 32, 32)
    return CropRecord(
        key, "", 0, 0, "", "s.png", "ab", 1, box, "0" * 16, "0" * 16, {"detail": 5}, "train", "s"
    )


def write(directory: Path, samples: int = 3, shard: str = "train-000000") -> ShardPaths:
    paths = ShardPaths(directory, shard)
    rejections: list[Rejection] = []
    with open_shard(paths, "train", "png", rejections) as writer:
        for number in range(samples):
            writer.add(record(f"key{number}"), encode_png(textured(number, 32, 32)))
        rejections.append(Rejection("key9", "pack", RejectionReason.FLAT, "contrast 1"))
    return paths


def test_no_header_is_written_if_the_directory_was_removed(tmp_path, monkeypatch):
    def write_elsewhere(path, content):
        if path.suffix == ".idx":
            (tmp_path / "d").rename(tmp_path / "away")
        write_bytes(path, content)

    monkeypatch.setattr("data.shards.write_bytes", write_elsewhere)
    with pytest.raises(UserError, match=r"train-000000\.tar"):
        write(tmp_path / "d")
    assert not ShardPaths(tmp_path / "d", "train-000000").header.exists()


def test_a_shard_reads_back(tmp_path):
    paths = write(tmp_path)
    header = read_header(paths.header)
    assert (header.samples, header.sources, header.shard) == (3, 1, "train-000000")
    assert [one.reason for one in read_rejections(paths.rejections)] == [RejectionReason.FLAT]
    lines = read_index(paths.index)
    with open(paths.tar, "rb") as tar:
        for number, (line, one) in enumerate(zip(lines, read_records(paths), strict=True)):
            image = read_image(tar, line)
            assert (line.key, one.key) == (f"key{number}", f"key{number}")
            assert (decode(image) == textured(number, 32, 32)).all()
            tar.seek(one.offset)
            assert tar.read(one.bytes) == image
    check_file(paths.tar, header.tar_xxh3, xxh3_file)
    check_file(paths.index, header.index_sha256)
    check_file(paths.manifest, header.manifest_sha256)


def test_the_tar_is_plain_and_the_same_every_time(tmp_path):
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    for name in ("tar", "index", "manifest", "rejections", "header"):
        assert getattr(first, name).read_bytes() == getattr(second, name).read_bytes()
    with tarfile.open(first.tar) as tar:
        members = tar.getmembers()
    assert [member.name for member in members[:2]] == ["key0.png", "key0.json"]
    assert all((one.mtime, one.uid, one.gid, one.mode) == (0, 0, 0, 0o644) for one in members)


def test_the_index_equals_the_one_of_dalis_own_tool(tmp_path):
    paths = write(tmp_path)
    tool = Path(sys.executable).with_name("wds2idx")
    subprocess.run([tool, paths.tar, tmp_path / "own.idx"], check=True, capture_output=True)
    assert paths.index.read_bytes() == (tmp_path / "own.idx").read_bytes()


def test_a_filtered_index_is_written_and_read(tmp_path):
    lines = read_index(write(tmp_path).index)[::-2]
    (tmp_path / "few.idx").write_bytes(encode_index(lines))
    assert read_index(tmp_path / "few.idx") == lines


@pytest.mark.parametrize("line", ["png 512 x a.png", "png 512", "", "png 512 3 a.png json"])
def test_an_index_whose_lines_do_not_parse_is_refused(line, tmp_path):
    (tmp_path / "i.idx").write_text(f"v1.2 1\n{line}\n")
    with pytest.raises(UserError, match="i.idx contains a line that is not valid in a DALI index"):
        read_index(tmp_path / "i.idx")


def test_an_index_that_was_cut_off_is_refused(tmp_path):
    paths = write(tmp_path)
    text = paths.index.read_text()
    for end in (text.rindex("png"), text.rindex("png", 0, text.rindex("key2.png")), 3):
        paths.index.write_text(text[:end])
        with pytest.raises(UserError, match="is not a complete DALI index"):
            read_index(paths.index)


def test_nothing_is_left_if_packing_fails(tmp_path):
    paths = ShardPaths(tmp_path, "train-000000")
    with pytest.raises(RuntimeError), open_shard(paths, "train", "png", []) as writer:
        writer.add(record("a"), b"x")
        raise RuntimeError
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_finished_shard_is_never_replaced(tmp_path):
    """A host that was frozen packs a shard that another has finished in the meantime, or is finishing."""
    paths = ShardPaths(tmp_path, "train-000000")
    with open_shard(paths, "train", "png", []) as late:
        write(tmp_path)
        before = {path: (path.stat().st_ino, path.read_bytes()) for path in files_of(tmp_path)}
        late.add(record("another"), b"other bytes")
    after = {path: (path.stat().st_ino, path.read_bytes()) for path in files_of(tmp_path)}
    assert after == before
    paths.header.unlink()
    write(tmp_path)
    after = {path: (path.stat().st_ino, path.read_bytes()) for path in files_of(tmp_path)}
    del before[paths.header], after[paths.header]
    assert after == before


def test_a_part_that_vanished_is_no_fault_once_the_shard_is_done(tmp_path):
    """Where locks do not reach other hosts, another writer takes a live part for an orphan."""
    paths = ShardPaths(tmp_path, "train-000000")
    with open_shard(paths, "train", "png", []) as late:
        late.add(record("a"), b"x")
        for part in paths.tar.parent.glob("*.part"):
            part.unlink()
        write(tmp_path)
    assert read_header(paths.header).samples == 3
    with (
        pytest.raises(FileNotFoundError),
        open_shard(paths := ShardPaths(tmp_path, "train-000001"), "train", "png", []),
    ):
        next(paths.tar.parent.glob("*.part")).unlink()


def files_of(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and path.suffix != ".part"]


def test_a_changed_file_is_noticed(tmp_path):
    paths = write(tmp_path)
    header = read_header(paths.header)
    with open(paths.tar, "r+b") as tar:
        tar.seek(700)
        tar.write(b"x")
    check_size(paths.tar, header.tar_bytes)
    with pytest.raises(UserError, match="digest"):
        check_file(paths.tar, header.tar_xxh3, xxh3_file)
    with open(paths.tar, "ab") as tar:
        tar.write(b"x")
    with pytest.raises(UserError, match="bytes"):
        check_size(paths.tar, header.tar_bytes)
    paths.tar.unlink()
    with pytest.raises(UserError, match="train-000000.tar is missing"):
        check_file(paths.tar, header.tar_xxh3, xxh3_file)


def test_the_json_beside_an_image_does_not_say_where_it_is_stored(tmp_path):
    paths = write(tmp_path, samples=1)
    (one,) = read_records(paths)
    with tarfile.open(paths.tar) as tar:
        beside = tar.extractfile("key0.json").read().decode()
    assert one.sha256 in beside
    assert '"offset"' not in beside and '"shard"' not in beside
    assert shard_name("validation", 12) == "validation-000012"
    assert dataclasses.replace(one, shard="", offset=0, bytes=0, sha256="") == record("key0")
