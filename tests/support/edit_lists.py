"""Give a track of an MP4 another edit list: which parts of it play, in which order."""

import struct
from collections.abc import Iterator
from pathlib import Path

MOVIE_UNITS = 1000
"""FFmpeg's units of a movie's duration in one second."""
EMPTY = -1
"""Media time of an edit during which nothing plays."""


def write_edits(source: Path, path: Path, edits: list[tuple[int, int]], kind: bytes = b"vide") -> Path:
    """Copy an MP4 whose index is at its end.

    Args:
        source: the video.
        path: where to write.
        edits: duration in MOVIE_UNITS, and media time in units of the track.
        kind: vide or soun: the first track of this kind gets the list.
    """
    content = bytearray(source.read_bytes())
    movie, movie_size, _ = next(box for box in _boxes(content, 0, len(content)) if box[2] == b"moov")
    assert movie + movie_size == len(content)
    entries = b"".join(struct.pack(">IiI", duration, start, 1 << 16) for duration, start in edits)
    edit_list = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(edits)) + entries
    box = struct.pack(">I4s", 8 + len(edit_list), b"edts") + edit_list
    for track, size, name in _boxes(content, movie + 8, movie + movie_size):
        if name != b"trak" or kind not in content[track : track + size]:
            continue
        parts = {name: (start, size) for start, size, name in _boxes(content, track + 8, track + size)}
        start, old = parts.get(b"edts", (parts[b"mdia"][0], 0))
        content[start : start + old] = box
        for parent, parent_size in ((track, size), (movie, movie_size)):
            content[parent : parent + 4] = struct.pack(">I", parent_size + len(box) - old)
        break
    path.write_bytes(content)
    return path


def _boxes(content: bytearray, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield the start, size and name of each box."""
    while start + 8 <= end:
        size = int.from_bytes(content[start : start + 4], "big")
        yield start, size, bytes(content[start + 4 : start + 8])
        start += size
