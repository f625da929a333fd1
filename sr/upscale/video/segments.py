"""Encoded pieces of a video on disk: each a file that is whole or not there, and says what is in it.

A segment is one line of JSON (`SegmentHeader`) and then its packets' bytes, one after another. It holds what an encoder
gave, in the order of decoding, and needs no container: what the container says is made when the video is joined.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from data.atomic_files import atomic_file, jsonl_line
from data.errors import UserError
from data.hashing import sha256_bytes

SCHEMA = 1
FOLDER = "segments"


@dataclasses.dataclass(frozen=True)
class SegmentHeader:
    """What a segment holds."""

    schema: int
    number: int
    """Of the stretch of the video; a stretch without a frame has no file."""
    first: int
    """How many frames come before it in the video."""
    scale: int
    """How many times taller and wider its frames are than the video's."""
    times: tuple[int, ...]
    """Presentation times of its packets in the order of decoding, in units of the source."""
    sizes: tuple[int, ...]
    """Bytes of each packet."""
    keys: tuple[int, ...]
    """Places of the keyframes among the packets; the first is 0."""
    extradata_sha256: str
    """Of what the encoder puts into the container's header; equal in all segments of a video."""
    sha256: str
    """Of the packets' bytes."""


@dataclasses.dataclass(frozen=True)
class EncodedPacket:
    """A packet as an encoder gave it."""

    time: int
    is_key: bool
    content: bytes


def path_of(directory: Path, number: int) -> Path:
    """Return where a segment stands in the directory of its video."""
    return directory / FOLDER / f"{number:06}.packets"


def write_segment(
    directory: Path, number: int, first: int, scale: int, packets: list[EncodedPacket], extradata: bytes
) -> SegmentHeader:
    """Write a finished segment."""
    content = b"".join(packet.content for packet in packets)
    header = SegmentHeader(
        schema=SCHEMA,
        number=number,
        first=first,
        scale=scale,
        times=tuple(packet.time for packet in packets),
        sizes=tuple(len(packet.content) for packet in packets),
        keys=tuple(place for place, packet in enumerate(packets) if packet.is_key),
        extradata_sha256=sha256_bytes(extradata),
        sha256=sha256_bytes(content),
    )
    with atomic_file(path_of(directory, number)) as file:
        file.write(jsonl_line(dataclasses.asdict(header)))
        file.write(content)
    return header


def read_headers(directory: Path) -> list[SegmentHeader]:
    """Return the headers of the segments that follow each other from the video's beginning.

    Raises:
        UserError: one is not of this version.
    """
    found: list[SegmentHeader] = []
    frames = 0
    for path in sorted((directory / FOLDER).glob("[0-9]*.packets")):
        with open(path, "rb") as file:
            header = _parse(file.readline(), path)
        if header.first != frames:
            break
        found.append(header)
        frames += len(header.times)
    return found


def read_packets(directory: Path, header: SegmentHeader) -> Iterator[EncodedPacket]:
    """Yield a segment's packets.

    Raises:
        UserError: its bytes are not those that were written.
    """
    path = path_of(directory, header.number)
    with open(path, "rb") as file:
        file.readline()
        content = file.read()
    if sha256_bytes(content) != header.sha256:
        raise UserError("the bytes that were written", "others", str(path), "delete it and run again")
    at, keys = 0, set(header.keys)
    for place, (time, size) in enumerate(zip(header.times, header.sizes, strict=True)):
        yield EncodedPacket(time, place in keys, content[at : at + size])
        at += size


def _parse(line: bytes, path: Path) -> SegmentHeader:
    try:
        fields = json.loads(line)
        known = fields["schema"] == SCHEMA
        lists = {name: tuple(fields[name]) for name in ("times", "sizes", "keys")}
        header = SegmentHeader(**(fields | lists))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError("a segment", str(error), str(path), "delete it and run again") from None
    if not known:
        raise UserError(f"schema {SCHEMA}", str(header.schema), str(path), "delete it and run again")
    return header
