"""Walk the structure of a video file, without a demuxer: where it ends too early, and where it holds something else.

FFmpeg plays what is there and passes over the rest without a word. But MKV, MP4 and AVI state the size of all they
contain, and MPEG streams are made of packets of one size. Headers are read here, never the frames between them.
"""

import os
import re
from pathlib import Path

from data.video.matroska import EBML, MatroskaWalk
from data.video.structure import FileReader, Structure

_MAX_CHECKED_PACKETS = 1 << 16
"""A stream of more packets than this is sampled at `_SAMPLED_PACKETS` places."""
_SAMPLED_PACKETS = 1 << 12
_PACKET_BYTES, _TIMED_PACKET_BYTES = 188, 192
"""Of a transport stream; with a time before it (Blu-ray)."""
_SYNC = b"\x47"
"""The first byte of a transport stream's packet."""
_SECTOR_BYTES, _PACK = 2048, b"\0\0\1\xba"
"""Of a program stream (VOB): the size of its packets, and how they begin."""
_PACKETS_IN_A_ROW = 5
"""Packets that have to follow each other where a stream goes on after damage."""


def read_structure(path: Path, container: str, gaps_s: list[tuple[float, float]] | None = None) -> Structure:
    """Walk a file's structure.

    Args:
        path: the file.
        container: FFmpeg's name of its format; empty: the one that the first bytes show.
        gaps_s: of Matroska: from and to in seconds, where frames may be missing. Only the clusters there are walked
            from block to block: in a whole video that would read the file a second time.
    """
    with open(path, "rb", buffering=0) as raw:
        file = FileReader(raw.fileno(), os.fstat(raw.fileno()).st_size)
        start = file.read(0, 12)
        if start.startswith(EBML) and container in ("", "matroska,webm"):
            return MatroskaWalk(file, gaps_s or []).walk()
        if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _walk_mp4(file)
        if start[:4] == b"RIFF" and start[8:] == b"AVI ":
            return _walk_avi(file)
        if container == "mpegts":
            return _walk_packets(file, _SYNC, (_PACKET_BYTES, _TIMED_PACKET_BYTES, 204))
        if container == "mpeg":
            return _walk_packets(file, _PACK, (_SECTOR_BYTES,))
        return Structure(file.size)


def _walk_mp4(file: FileReader) -> Structure:
    """Walk the boxes of an MP4 or QuickTime file. What follows them (padding) does not count."""
    at, names = 0, set[bytes]()
    damage: tuple[tuple[int, int], ...] = ()
    while at < file.size:
        head = file.read(at, 16)
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        elif size == 0 and name == b"mdat":  # up to the end of the file
            size = file.size - at
        if size < 8 or len(name) < 4 or not name.isascii() or not name.decode().isprintable():
            is_padding = (b"mdat" in names and bool(names & {b"moov", b"moof"})) or file.size - at < 8
            damage = () if is_padding else ((at, file.size),)
            break
        names.add(name)
        at += size
    missing, is_fragmented = max(0, at - file.size), b"moof" in names  # what follows a fragment is not stated
    return Structure(
        file.size, 0 if is_fragmented else missing, missing > 0, damage, lacks_index=b"moov" not in names
    )


def _walk_avi(file: FileReader) -> Structure:
    """Walk the chunks of an AVI file."""
    at, stated = 0, 0
    while at + 8 <= file.size:
        head = file.read(at, 12)
        name, size, kind = head[:4], int.from_bytes(head[4:8], "little"), head[8:12]
        if name == b"RIFF":
            # A recording that was not finished states no size, or the largest.
            stated = max(stated, at + 8 + size if size < 0x7FFFFFFF else 0)
            at += 12
        elif name == b"LIST" and kind in (b"movi", b"rec "):
            at += 12
        elif name.isascii() and name.decode().isprintable():
            at += 8 + size + size % 2
        elif file.read(at - 1, 4).isalnum():  # an odd chunk without a byte of padding
            at -= 1
        else:
            break
    damage = ((at, file.size),) if at + 8 <= file.size and at < stated else ()
    return Structure(file.size, max(0, stated - file.size), damage=damage, states_duration=False)


def _walk_packets(file: FileReader, sync: bytes, sizes: tuple[int, ...]) -> Structure:
    """Check that packet follows packet in an MPEG stream; in a long one at some thousand places, and at its end.

    Args:
        file: the file.
        sync: how a packet begins.
        sizes: which sizes packets may have.
    """
    layout = _find_packets(file, 0, sync, sizes)
    if layout is None:
        return Structure(file.size, states_duration=False)
    at, step = layout
    last, damage = at, []
    count = (file.size - at) // step
    stride = step * (1 if count <= _MAX_CHECKED_PACKETS else count // _SAMPLED_PACKETS)
    while at < file.size:
        if sync.startswith(file.read(at, len(sync))):
            last = at
            at += stride if at + stride < file.size else step
        else:
            following = _find_packets(file, at, sync, (step,))
            damage.append((last + step, following[0] if following else file.size))
            at = damage[-1][1]
    end = last + (_PACKET_BYTES if step == _TIMED_PACKET_BYTES else step)
    # A program stream ends with a code of four bytes.
    ends_midway = end > file.size and file.size - last > len(_PACK)
    return Structure(file.size, 0, ends_midway, tuple(damage), states_duration=False)


def _find_packets(
    file: FileReader, start: int, sync: bytes, sizes: tuple[int, ...]
) -> tuple[int, int] | None:
    """Return where packets begin at or after a position, and their size; None if nowhere."""
    for found in file.find(re.compile(re.escape(sync)), start, file.size):
        for size in sizes:
            places = [at for n in range(_PACKETS_IN_A_ROW) if (at := found + n * size) < file.size]
            if all(sync.startswith(file.read(at, len(sync))) for at in places):
                return found, size
    return None
