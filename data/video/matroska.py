"""Walk a Matroska or WebM file from element to element. Headers are read, never the frames between them."""

import dataclasses
import re

from data.video.structure import FileReader, Structure

EBML, _SEGMENT, _INFO, _CLUSTER = (
    b"\x1a\x45\xdf\xa3",
    b"\x18\x53\x80\x67",
    b"\x15\x49\xa9\x66",
    b"\x1f\x43\xb6\x75",
)
_TOP = (
    b"\x11\x4d\x9b\x74",  # SeekHead
    _INFO,
    b"\x16\x54\xae\x6b",  # Tracks
    _CLUSTER,
    b"\x1c\x53\xbb\x6b",  # Cues
    b"\x19\x41\xa4\x69",  # Attachments
    b"\x10\x43\xa7\x70",  # Chapters
    b"\x12\x54\xc3\x67",  # Tags
    b"\x1b\x53\x86\x67",  # SignatureSlot
)
"""The elements of a Matroska segment."""
_ANYWHERE = (b"\xec", b"\xbf")
"""Void and CRC-32."""
_TIMESTAMP = b"\xe7"
_IN_CLUSTER = (_TIMESTAMP, b"\xa3", b"\xa0", b"\xab", b"\xa7", b"\xaf", b"\x58\x54")
"""Timestamp, SimpleBlock, BlockGroup, PrevSize, Position, EncryptedBlock and SilentTracks."""
_TIMESTAMP_SCALE, _DURATION = b"\x2a\xd7\xb1", b"\x44\x89"
_HEAD_BYTES = 12
"""The most that an element's name and size have."""
_TOP_PATTERN = re.compile(b"|".join(re.escape(name) for name in _TOP))


@dataclasses.dataclass(frozen=True)
class _Element:
    name: bytes
    body: int
    """Where its content begins."""
    end: int | None
    """Where it ends; None if its size is unknown (a live stream)."""


class MatroskaWalk:
    """Walks a Matroska or WebM file: from element to element and, near a gap, from block to block."""

    def __init__(self, file: FileReader, gaps_s: list[tuple[float, float]]) -> None:
        self._file, self._gaps_s = file, gaps_s
        self._damage: list[tuple[int, int]] = []
        self._ns_per_tick, self._states_duration = 1_000_000, False
        self._clusters: list[tuple[float, int, int]] = []
        """Time in seconds, and the bytes from and to, of each cluster of known size."""
        self._end = 0
        """Where the last element ends."""

    def walk(self) -> Structure:
        """Walk the file and return what was found."""
        at, size, segment_end = 0, self._file.size, 0
        while (element := self._element(at)) and element.name in (EBML, *_ANYWHERE) and element.end:
            at = element.end
        if element and element.name == _SEGMENT:
            segment_end = element.end or 0
            self._walk_elements(element.body, segment_end)
            self._walk_clusters_at_gaps()
        missing = max(0, segment_end - size)
        return Structure(size, missing, self._end > size, _merge(self._damage), self._states_duration)

    def _element(self, at: int) -> _Element | None:
        """Return the element at a position; None if there is none."""
        head = self._file.read(at, _HEAD_BYTES)
        name_bytes = _vint_bytes(head[:1], 4)
        size_bytes = _vint_bytes(head[name_bytes : name_bytes + 1], 8) if name_bytes else 0
        body = name_bytes + size_bytes
        if not size_bytes or len(head) < body:
            return None
        size = int.from_bytes(head[name_bytes:body], "big") - (1 << 7 * size_bytes)
        is_unknown = size == (1 << 7 * size_bytes) - 1
        return _Element(head[:name_bytes], at + body, None if is_unknown else at + body + size)

    def _walk_elements(self, at: int, end: int) -> None:
        """Walk the elements of a segment up to its end (0: not stated), and those of clusters of unknown size."""
        stop = min(end or self._file.size, self._file.size)
        while at < stop:
            element = self._element(at)
            if element is None and at + _HEAD_BYTES > self._file.size:
                at = self._file.size + 1  # the file ends within a header
            elif element is None or element.name not in (*_TOP, *_ANYWHERE, *_IN_CLUSTER):
                at = self._resume(at, stop)
            elif element.end is None:  # the elements in it follow
                at = element.body
            elif 0 < end < element.end and end <= self._file.size:
                at = self._resume(at, stop)
            else:
                if element.name == _INFO:
                    self._read_info(element.body, element.end)
                elif element.name == _CLUSTER:
                    self._clusters.append((self._cluster_time_s(element.body), element.body, element.end))
                at = element.end
        self._end = at

    def _resume(self, at: int, stop: int) -> int:
        """Note damage at a position; return where the next element of the segment begins."""
        following = stop
        for found in self._file.find(_TOP_PATTERN, at + 1, stop):
            element = self._element(found)
            if element and (element.end is None or element.end <= stop):
                following = found
                break
        self._damage.append((at, following))
        return following

    def _read_info(self, at: int, end: int) -> None:
        while at < end and (element := self._element(at)) and element.end:
            content = self._file.read(element.body, min(element.end - element.body, 8))
            if element.name == _TIMESTAMP_SCALE:
                self._ns_per_tick = int.from_bytes(content, "big")
            self._states_duration |= element.name == _DURATION
            at = element.end

    def _cluster_time_s(self, at: int) -> float:
        for _ in range(3):  # a CRC-32 and a Void may come before it
            element = self._element(at)
            if element is None or element.end is None:
                break
            if element.name == _TIMESTAMP:
                ticks = int.from_bytes(self._file.read(element.body, element.end - element.body), "big")
                return ticks * self._ns_per_tick / 1e9
            at = element.end
        return 0.0

    def _walk_clusters_at_gaps(self) -> None:
        ends_s = [*(time_s for time_s, _, _ in self._clusters[1:]), float("inf")]
        # A file that has a header only has no cluster.
        for (start_s, at, end), end_s in zip(self._clusters, ends_s, strict=False):
            if any(start_s <= gap_end and end_s >= gap_start for gap_start, gap_end in self._gaps_s):
                self._walk_cluster(at, end)

    def _walk_cluster(self, at: int, end: int) -> None:
        stop = min(end, self._file.size)
        while at < stop:
            element = self._element(at)
            is_whole = element is not None and element.end is not None and element.end <= end
            if element is None or not is_whole or element.name not in (*_IN_CLUSTER, *_ANYWHERE):
                if stop == end:  # otherwise the file ends here
                    self._damage.append((at, end))
                return
            at = element.end or stop


def _merge(stretches: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(set(stretches)):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _vint_bytes(first: bytes, most: int) -> int:
    """Return how many bytes a number of EBML has, by its first byte; 0 if it is none, or has more than `most`."""
    count = 9 - first[0].bit_length() if first else 0
    return count if count <= most else 0
