import gzip
import random

import pytest

from data.sources import gzip_reader
from data.sources.gzip_reader import GzipBytes, GzipFault


def test_gzip_is_read_at_any_position_and_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setattr(gzip_reader, "_SPACING_BYTES", 100_000)
    monkeypatch.setattr(gzip_reader, "_OUTPUT_BYTES", 30_000)
    chance = random.Random(0)
    content = chance.randbytes(400_000) + bytes(600_000) + chance.randbytes(200_000)
    stored = gzip.compress(content[:700_000]) + gzip.compress(content[700_000:]) + bytes(100)
    (tmp_path / "a.gz").write_bytes(stored)
    with open(tmp_path / "a.gz", "rb") as file:
        reader = GzipBytes(file.fileno())
        for _ in range(200):
            offset, size = chance.randrange(len(content)), chance.randrange(150_000)
            assert reader.read_at(offset, size) == content[offset : offset + size]
        assert reader.read_at(len(content), 10) == b""
    for length in (5, 1000, len(stored) // 2, len(stored) - 104):
        (tmp_path / "cut.gz").write_bytes(stored[:length])
        with open(tmp_path / "cut.gz", "rb") as file, pytest.raises(GzipFault, match="cut off"):
            GzipBytes(file.fileno()).read_at(0, len(content) + 1)
