"""Encoded segments of a video on disk. Each is one file that is complete or absent, and describes itself.

A segment file is one line of JSON (`SegmentHeader`), then its packets' bytes, one after another, in decoding order. It
needs no container: what the container adds is made when the segments are muxed.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from data.atomic_files import atomic_file, jsonl_line
from data.errors import UserError
from data.hashing import sha256_bytes

SCHEMA = 2
FOLDER = "segments"
_HINT = "Delete it and run again"


@dataclasses.dataclass(frozen=True)
class SegmentHeader:
    """What a segment contains."""

    schema: int
    number: int
    """Place in the video, in units of the segment length; a stretch without a frame has no file."""
    first_frame: int
    """How many frames of the video come before it."""
    scale: int
    """How many times taller and wider its frames are than the video's."""
    pts: tuple[int, ...]
    """Presentation times of its packets in decoding order, in units of the source's time base."""
    sizes: tuple[int, ...]
    """Bytes of each packet."""
    keyframes: tuple[int, ...]
    """Indices of the keyframes among the packets; the first is 0."""
    extradata_sha256: str
    """Of the codec header that the encoder gives to the container; equal in all segments of a video."""
    sha256: str
    """Of the packets' bytes."""


@dataclasses.dataclass(frozen=True)
class EncodedPacket:
    """A packet from an encoder."""

    pts: int
    """Presentation time, in units of the source's time base."""
    is_keyframe: bool
    data: bytes


def segment_path(directory: Path, number: int) -> Path:
    """Return the file of a segment in its video's directory."""
    return directory / FOLDER / f"{number:06}.packets"


def write_segment(
    directory: Path, number: int, first_frame: int, scale: int, packets: list[EncodedPacket], extradata: bytes
) -> SegmentHeader:
    """Write a finished segment; the fields are those of `SegmentHeader`."""
    content = b"".join(packet.data for packet in packets)
    header = SegmentHeader(
        schema=SCHEMA,
        number=number,
        first_frame=first_frame,
        scale=scale,
        pts=tuple(packet.pts for packet in packets),
        sizes=tuple(len(packet.data) for packet in packets),
        keyframes=tuple(index for index, packet in enumerate(packets) if packet.is_keyframe),
        extradata_sha256=sha256_bytes(extradata),
        sha256=sha256_bytes(content),
    )
    with atomic_file(segment_path(directory, number)) as file:
        file.write(jsonl_line(dataclasses.asdict(header)))
        file.write(content)
    return header


def read_headers(directory: Path) -> list[SegmentHeader]:
    """Return the headers of the finished segments, up to the first gap.

    Raises:
        UserError: a file is damaged or of another version.
    """
    found: list[SegmentHeader] = []
    frames = 0
    for path in sorted((directory / FOLDER).glob("[0-9]*.packets")):
        with open(path, "rb") as file:
            header = _parse_header(file.readline(), path)
        if header.first_frame != frames:
            break
        found.append(header)
        frames += len(header.pts)
    return found


def read_packets(directory: Path, header: SegmentHeader) -> Iterator[EncodedPacket]:
    """Yield a segment's packets.

    Raises:
        UserError: its bytes have changed since they were written.
    """
    path = segment_path(directory, header.number)
    with open(path, "rb") as file:
        file.readline()
        content = file.read()
    if sha256_bytes(content) != header.sha256:
        raise UserError(f"{path} is damaged: its sha256 is not the one in its header", _HINT)
    offset, keyframes = 0, set(header.keyframes)
    for index, (pts, size) in enumerate(zip(header.pts, header.sizes, strict=True)):
        yield EncodedPacket(pts, index in keyframes, content[offset : offset + size])
        offset += size


def _parse_header(line: bytes, path: Path) -> SegmentHeader:
    try:
        fields = json.loads(line)
        is_known = fields["schema"] == SCHEMA
        lists = {name: tuple(fields[name]) for name in ("pts", "sizes", "keyframes")}
        header = SegmentHeader(**(fields | lists))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a segment of a video: {error}", _HINT) from None
    if not is_known:
        raise UserError(f"{path} has schema {header.schema}, but this version reads {SCHEMA}", _HINT)
    return header
