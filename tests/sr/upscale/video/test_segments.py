"""Segment files: what was written is read back, up to the first gap, and damage is an error with a hint."""

import pytest

from data.errors import UserError
from sr.upscale.video.segments import EncodedPacket, read_headers, read_packets, segment_path, write_segment

PACKETS = [EncodedPacket(0, True, b"key"), EncodedPacket(80, False, b"p"), EncodedPacket(40, False, b"bb")]


def test_packets_are_read_back(tmp_path):
    header = write_segment(tmp_path, 0, 0, 2, PACKETS, b"extradata")
    assert read_headers(tmp_path) == [header]
    assert (header.pts, header.sizes, header.keyframes) == ((0, 80, 40), (3, 1, 2), (0,))
    assert list(read_packets(tmp_path, header)) == PACKETS


def test_headers_end_at_the_first_gap(tmp_path):
    first = write_segment(tmp_path, 0, 0, 2, PACKETS, b"")
    write_segment(tmp_path, 2, 6, 2, PACKETS, b"")
    assert read_headers(tmp_path) == [first]
    second = write_segment(tmp_path, 1, 3, 2, PACKETS, b"")
    assert [header.number for header in read_headers(tmp_path)] == [0, second.number, 2]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"keypbb", b"kexpbb", "000000.packets is damaged: its sha256"),
        (b'"schema":2', b'"schema":9', "000000.packets has schema 9, but this version reads 2"),
        (b'"pts"', b'"xyz"', "000000.packets is not a segment"),
    ],
)
def test_damaged_and_unknown_files_are_errors(old, new, message, tmp_path):
    header = write_segment(tmp_path, 0, 0, 2, PACKETS, b"")
    path = segment_path(tmp_path, 0)
    content = path.read_bytes()
    assert old in content.replace(b'": ', b'":')
    path.write_bytes(content.replace(b'": ', b'":').replace(old, new, 1))
    with pytest.raises(UserError, match=f"{message}.*Delete it and run again"):
        for found in read_headers(tmp_path) or [header]:
            list(read_packets(tmp_path, found))
