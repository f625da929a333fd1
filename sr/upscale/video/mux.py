"""Mux the segments, and copies of the source's other streams, into one file that appears when it is complete.

Audio, subtitles and further videos are copied packet by packet; chapters, metadata, attachments and the disposition of
each stream are kept. Nothing is decoded here but sound that is to be converted.
"""

import dataclasses
import io
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING

import av
from av.container import InputContainer

from data.atomic_files import atomic_file
from data.errors import UserError
from data.exhaustion import hint_of, raise_if_exhausted
from data.hashing import sha256_bytes
from data.records import Rejection, RejectionReason
from data.video.demux import AV_ERRORS, error_text, open_video
from data.video.pyav import AnyPacket, require_dts
from sr.upscale.video.copied_streams import CopiedStreams
from sr.upscale.video.output_file import OutputFile
from sr.upscale.video.output_streams import OutputStreams, container_format
from sr.upscale.video.packet_timing import retime_packets
from sr.upscale.video.segments import SegmentHeader
from sr.upscale.video.settings import VideoUpscaleSettings
from sr.upscale.video.video_info import STAGE, VideoInfo

if TYPE_CHECKING:
    from av.container.core import Chapter  # only the stub has it

_BITEXACT = 0x400
"""AVFMT_FLAG_BITEXACT: no random numbers and no clock in the file."""
_CONTAINER_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})
"""Metadata that describes the source's container."""
_BUFFER_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class MuxResult:
    """What was written to the file."""

    frames: int
    copied: tuple[int, ...]
    """Indices of the source's streams that were copied."""
    converted: tuple[str, ...]
    """Which streams were converted, from what to what."""
    not_copied: tuple[str, ...]
    """What was not copied, and why."""
    rejections: tuple[Rejection, ...]
    """Packets of other streams that could not be read or copied."""


def check_muxable(video: VideoInfo, settings: VideoUpscaleSettings, scale: int, output: Path) -> list[str]:
    """Write the header of the output into memory, so that errors appear before the work begins.

    Returns:
        What of the source will not be copied, and why.

    Raises:
        UserError: the container does not support a stream, or the encoder does not support a setting.
    """
    source, _ = open_video(video.path, allow_interlaced=True)
    with source:
        muxer = _Muxer(io.BytesIO(), output, source, video, settings, scale)
        muxer.write_header()
        return muxer.not_copied


def mux_video(
    directory: Path,
    headers: list[SegmentHeader],
    video: VideoInfo,
    settings: VideoUpscaleSettings,
    scale: int,
    output: Path,
    is_complete: bool = True,
) -> MuxResult:
    """Write the upscaled video.

    Args:
        directory: of the store, with the segments.
        headers: of all of them, in order; at least one.
        video: the source.
        settings: those that the segments were made with.
        scale: the one that the segments were made with.
        output: where to write.
        is_complete: the segments are all of the video; if not, the other streams are cut at their end.

    Raises:
        UserError: the output cannot be written, another file is there, or the segments are from different encoders.
    """
    source, _ = open_video(video.path, allow_interlaced=True)
    try:
        with source, atomic_file(output, place=OutputFile(directory, output).put) as file:
            return _Muxer(file, output, source, video, settings, scale).write(directory, headers, is_complete)
    except av.FFmpegError as error:
        raise UserError(
            f"{output} cannot be written: {error_text(error)}", hint_of(error) or "Choose another container"
        ) from error
    except OSError as error:
        raise UserError(
            f"{output} cannot be written: {error.strerror or error}",
            hint_of(error) or "Free some disk space, or choose another --output-file",
        ) from error


class _Muxer:
    """One output file, and the source of its other streams."""

    def __init__(
        self,
        file: IO[bytes],
        output: Path,
        source: InputContainer,
        video: VideoInfo,
        settings: VideoUpscaleSettings,
        scale: int,
    ) -> None:
        self._output, self._source, self._video = output, source, video
        self._refused: dict[int, list[str]] = {}
        """Errors of packets that the container did not accept, by the source's stream indices."""
        self._container = av.open(
            file,
            "w",
            format=container_format(output),
            container_options={"avoid_negative_ts": "disabled"},
            buffer_size=_BUFFER_BYTES,
            metadata_errors="replace",
        )
        self._container.flags |= _BITEXACT
        self._streams = OutputStreams(self._container, output, source, video, settings, scale)
        tags = source.metadata.items()
        self._container.metadata.update(
            {name: value for name, value in tags if name.lower() not in _CONTAINER_TAGS}
        )

    @property
    def not_copied(self) -> list[str]:
        """What of the source is not copied, and why."""
        return self._streams.not_copied

    def write_header(self, end_s: Fraction | None = None) -> None:
        """Write the header.

        Raises:
            UserError: the container does not support a stream.
        """
        self._container.set_chapters(_cut_chapters(self._source.chapters(), end_s))
        try:
            self._container.start_encoding()
        except AV_ERRORS as error:
            raise_if_exhausted(error)
            raise UserError(
                f"{self._output.suffix} does not support the streams of {self._video.path}:"
                f" {error_text(error)}",
                "Leave streams out with --leave-out, or choose another container",
            ) from None

    def write(self, directory: Path, headers: list[SegmentHeader], is_complete: bool) -> MuxResult:
        """Write header, packets and trailer; see `mux_video`."""
        streams, video = self._streams, self._video
        frames = sum(len(header.pts) for header in headers)
        last_pts = max(headers[-1].pts)
        end_s = None if is_complete else (last_pts + 1) * video.time_base
        self.write_header(end_s)
        extradata = sha256_bytes(bytes(streams.video.codec_context.extradata or b""))
        if any(header.extradata_sha256 != extradata for header in headers):
            raise UserError(
                f"The segments in {directory} are from different encoders", "Delete them and run again"
            )
        needs_unique_dts = container_format(self._output) in ("mp4", "mov")
        others = CopiedStreams(
            self._source,
            streams.copies,
            streams.converters,
            needs_unique_dts,
            video.path.name,
            video.timeline,
        )
        images = retime_packets(directory, headers, video, streams.video)
        waiting = next(images, None)
        for packet in others.packets(end_s):
            time_s = require_dts(packet) * packet.time_base
            while waiting is not None and require_dts(waiting) * video.time_base <= time_s:
                self._container.mux(waiting)
                waiting = next(images, None)
            self._mux_copy(packet)
        while waiting is not None:
            self._container.mux(waiting)
            waiting = next(images, None)
        self._container.close()
        copied = tuple(index for index in streams.copies if index not in streams.converters)
        return MuxResult(
            frames,
            copied,
            tuple(streams.converted),
            tuple(streams.not_copied),
            (*others.rejections, *self._rejections()),
        )

    def _mux_copy(self, packet: AnyPacket) -> None:
        """Write a packet of a copied stream; a damaged one that the container does not accept is counted."""
        try:
            self._container.mux(packet)
        except (ValueError, av.error.PatchWelcomeError) as error:
            copies = self._streams.copies.items()
            index = next(index for index, output in copies if output.index == packet.stream_index)
            self._refused.setdefault(index, []).append(error_text(error))

    def _rejections(self) -> list[Rejection]:
        """Return one for each stream with packets that the container did not accept."""
        return [
            Rejection(
                self._video.path.name,
                STAGE,
                RejectionReason.UNREADABLE,
                f"stream {index} ({self._streams.copies[index].type}): {self._output.suffix} does not accept"
                f" {len(errors)} packets: {errors[0]}",
            )
            for index, errors in self._refused.items()
        ]


def _cut_chapters(chapters: "list[Chapter]", end_s: Fraction | None) -> "list[Chapter]":
    """Return the chapters that begin before a time, and cut the last one there; all of them for None."""
    if end_s is None:
        return chapters
    kept = []
    for chapter in chapters:
        time_base = chapter["time_base"] or Fraction(1)
        if chapter["start"] * time_base < end_s:
            kept.append(chapter.copy())
            kept[-1]["end"] = min(chapter["end"], round(end_s / time_base))
    return kept
