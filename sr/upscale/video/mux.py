"""Segments and everything else of the source, by packet copy, into one file that appears when it is whole.

Sound, subtitles and other images are copied packet by packet; chapters, metadata, attachments and what a stream is
for go with them. Nothing is decoded here.
"""

import dataclasses
import io
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from data.atomic_files import atomic_file
from data.errors import UserError
from data.hashing import sha256_bytes
from data.records import Rejection
from data.video.demux import FAULTS, explain, open_video
from sr.upscale.video.copied_streams import COVERS, Others, is_cover, read_cover
from sr.upscale.video.encode import set_up
from sr.upscale.video.output_file import Place
from sr.upscale.video.packet_timing import timed_packets
from sr.upscale.video.segments import SegmentHeader
from sr.upscale.video.settings import CODECS, CONTAINERS, VideoSettings
from sr.upscale.video.video_info import Video

_BITEXACT = 0x400
"""AVFMT_FLAG_BITEXACT: no random numbers and no clock in the file."""
_OF_THE_CONTAINER = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})
_OF_THE_IMAGES = ("BPS", "NUMBER_OF_", "_STATISTICS_", "DURATION", "ENCODER", "VENDOR_ID", "HANDLER_NAME")
"""Beginnings of stream tags that describe the old images' bytes, and not the images."""
_BUFFER_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What stands in the file."""

    frames: int
    copied: tuple[int, ...]
    """Numbers of the source's streams that were copied."""
    left: tuple[str, ...]
    """What was not, and why."""
    rejections: tuple[Rejection, ...]
    """Packets of other streams that could not be read or copied."""


def container_name(output: Path) -> str:
    """Return FFmpeg's name for the container that the suffix means.

    Raises:
        UserError: it means none.
    """
    if output.suffix.lower() not in CONTAINERS:
        raise UserError(
            f"a name ending in {', '.join(CONTAINERS)}", output.name, "--output-file", "choose another suffix"
        )
    return CONTAINERS[output.suffix.lower()]


def rehearse(video: Video, settings: VideoSettings, scale: int, output: Path) -> None:
    """Write the file's beginning into memory, so that what it cannot hold is told before the work.

    Raises:
        UserError: a stream that the container does not take, or a setting that the encoder does not.
    """
    source, _ = open_video(video.path, interlaced=True)
    with source:
        made = _Output(io.BytesIO(), output, source, video, settings, scale)
        made.begin()


def join(
    directory: Path,
    headers: list[SegmentHeader],
    video: Video,
    settings: VideoSettings,
    scale: int,
    output: Path,
    whole: bool = True,
) -> Outcome:
    """Write the upscaled video.

    Args:
        directory: of the store, with the segments.
        headers: of all of them, in order; at least one.
        video: the source.
        settings: those that the segments were made with.
        scale: the same.
        output: where to.
        whole: these are all; otherwise everything else ends where they end.

    Raises:
        UserError: it cannot be written there, a stranger's file stands there, or the segments are not of one encoder.
    """
    source, _ = open_video(video.path, interlaced=True)
    try:
        with source, atomic_file(output, place=Place(directory, output).put) as file:
            made = _Output(file, output, source, video, settings, scale)
            outcome = made.write(directory, headers, whole)
    except av.FFmpegError as error:
        raise UserError(
            "a file that can be written", explain(error), str(output), "choose another suffix"
        ) from error
    except OSError as error:
        found = error.strerror or str(error)
        raise UserError(
            "a file that can be written", found, str(output), "make room, or name another"
        ) from error
    return outcome


class _Output:
    """One output file and the source that its other streams come from."""

    def __init__(
        self,
        file: IO[bytes],
        output: Path,
        source: InputContainer,
        video: Video,
        settings: VideoSettings,
        scale: int,
    ) -> None:
        self.output, self.source, self.video, self.settings, self.scale = (
            output,
            source,
            video,
            settings,
            scale,
        )
        self.made: OutputContainer = av.open(
            file,
            "w",
            format=container_name(output),
            container_options={"avoid_negative_ts": "disabled"},
            buffer_size=_BUFFER_BYTES,
            metadata_errors="replace",
        )
        self.made.flags |= _BITEXACT
        self.is_strict = container_name(output) in ("mp4", "mov")
        self.left = list(video.unkept)
        self.copies: dict[int, Stream] = {}
        for stream in source.streams:
            if stream.index == video.stream:
                self.images = self._add_images(stream)
            elif stream.index in settings.leave_out:
                self.left.append(f"stream {stream.index} ({stream.type}), as asked")
            else:
                self._add_copy(stream)
        tags = {
            name: value for name, value in source.metadata.items() if name.lower() not in _OF_THE_CONTAINER
        }
        self.made.metadata.update(tags)

    def _add_images(self, stream: Stream) -> Stream:
        video, name = self.video, CODECS[self.settings.codec].encoder
        if self.settings.codec == "svtav1" and video.aspect != 1 and self.output.suffix.lower() != ".mp4":
            found = f"pixels of {video.aspect} in {self.output.suffix} with svtav1"
            remedy = "choose x264, x265 or .mp4, which can say so"
            raise UserError("square pixels", found, str(video.path), remedy)
        try:
            made = self.made.add_stream(name, rate=video.rate)
        except ValueError:
            got = f"{self.output.suffix}, which does not"
            raise UserError(
                f"a container that holds {self.settings.codec}", got, "--output-file", "name it .mkv"
            ) from None
        set_up(made.codec_context, video, self.settings, self.scale)
        made.time_base = video.time_base
        made.disposition = stream.disposition
        kept = {n: v for n, v in stream.metadata.items() if not n.upper().startswith(_OF_THE_IMAGES)}
        made.metadata.update(kept)
        if video.display_matrix:
            turned = list(video.display_matrix)
            turned[6:8] = [one * self.scale for one in turned[6:8]]  # the shift is in pixels
            made.set_display_matrix(turned)
        return made

    def _add_copy(self, stream: Stream) -> None:
        """Add a stream that is copied as it is.

        Raises:
            UserError: the container does not hold it.
        """
        if stream.type == "attachment":
            self._add_attachment(stream)
            return
        if stream.type == "data":
            # Timecodes and MP4's own track of chapters, which the chapters themselves make anew.
            self.left.append(f"stream {stream.index} (data)")
            return
        codec = stream.codec_context.name if stream.codec_context is not None else "an unknown codec"
        if is_cover(stream):
            self._add_cover(stream, codec)
        else:
            self._add_template(stream, codec)

    def _add_template(self, stream: Stream, codec: str) -> None:
        try:
            made = self.made.add_stream_from_template(stream, opaque=True)
        except (ValueError, *FAULTS):
            got = f"stream {stream.index} ({stream.type}, {codec})"
            remedy = f"name the output .mkv or .mp4, or add --leave-out {stream.index}"
            raise UserError(
                f"streams that {self.output.suffix} holds", got, str(self.video.path), remedy
            ) from None
        made.disposition = stream.disposition
        made.metadata.update(stream.metadata)
        self.copies[stream.index] = made

    def _add_attachment(self, stream: Stream) -> None:
        if container_name(self.output) != "matroska":
            self.left.append(f"stream {stream.index} (attachment {stream.name}): only .mkv holds it")
            return
        self.made.add_attachment(
            stream.name or "attachment", stream.mimetype or "application/octet-stream", stream.data
        )

    def _add_cover(self, stream: Stream, codec: str) -> None:
        container, kind = container_name(self.output), COVERS.get(codec)
        content = read_cover(self.video.path, stream.index) if kind else b""
        if content and container == "matroska":
            tags = stream.metadata
            name = tags.get("filename") or f"cover.{kind.removeprefix('image/').replace('jpeg', 'jpg')}"
            self.made.add_attachment(name, tags.get("mimetype") or kind, content)
        elif content and container == "mp4" and codec in ("png", "mjpeg"):
            self._add_template(stream, codec)
        else:
            self.left.append(f"stream {stream.index} (cover, {codec}): {self.output.suffix} does not hold it")

    def begin(self, end_s: Fraction | None = None) -> None:
        """Write the header.

        Raises:
            UserError: the container refuses it.
        """
        self.made.set_chapters(_chapters(self.source.chapters(), end_s))
        try:
            self.made.start_encoding()
        except FAULTS as error:
            remedy = "name the output .mkv, or leave streams out with --leave-out"
            where = str(self.video.path)
            raise UserError(
                f"streams that {self.output.suffix} holds", explain(error), where, remedy
            ) from None

    def write(self, directory: Path, headers: list[SegmentHeader], whole: bool) -> Outcome:
        """Write everything."""
        frames = sum(len(header.times) for header in headers)
        last = max(headers[-1].times)
        end_s = None if whole else (last + 1) * self.video.time_base
        self.begin(end_s)
        extradata = sha256_bytes(bytes(self.images.codec_context.extradata or b""))
        if any(header.extradata_sha256 != extradata for header in headers):
            raise UserError("segments of one encoder", "several", str(directory), "delete them and run again")
        others = Others(self.source, self.copies, self.is_strict, self.video.path.name)
        images = timed_packets(directory, headers, self.video, self.images)
        waiting = next(images, None)
        for packet in others.packets(end_s):
            at_s = packet.dts * packet.time_base
            while waiting is not None and waiting.dts * self.video.time_base <= at_s:
                self.made.mux(waiting)
                waiting = next(images, None)
            self._mux_copy(packet)
        while waiting is not None:
            self.made.mux(waiting)
            waiting = next(images, None)
        self.made.close()
        return Outcome(frames, tuple(self.copies), tuple(self.left), tuple(others.rejections))

    def _mux_copy(self, packet: Packet) -> None:
        """Write a packet of a copied stream.

        Raises:
            UserError: the container does not take it.
        """
        try:
            self.made.mux(packet)
        except ValueError as error:
            number = next(number for number, made in self.copies.items() if made.index == packet.stream_index)
            got = f"a packet of stream {number} ({packet.stream.type}), {explain(error)}"
            remedy = f"name the output .mkv, or add --leave-out {number}: what is encoded is kept"
            where = str(self.video.path)
            raise UserError(f"packets that {self.output.suffix} holds", got, where, remedy) from None


def _chapters(chapters: list[dict[str, Any]], end_s: Fraction | None) -> list[dict[str, Any]]:
    if end_s is None:
        return chapters
    kept = [one for one in chapters if one["start"] * one["time_base"] < end_s]
    return [one | {"end": min(one["end"], round(end_s / one["time_base"]))} for one in kept]
