"""Encode the enhancement layer of a half-size clip: what its upscaled frames lack, as a second stream beside it."""

import io
import itertools
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.atomic_files import atomic_file, read_json, write_json
from data.errors import UserError
from data.progress import Progress, silent
from data.video.demux import open_video
from data.video.pyav import AnyPacket, require_dts, require_pts
from sr.codec_gain import encode_point
from sr.codec_gain.clip import Clip
from sr.codec_gain.decode_point import PointDecoder
from sr.codec_gain.encode_point import FULL, EncodeSettings
from sr.upscale.video.encode import configure_encoder
from sr.upscale.video.enhancement import BASE_TAG, VERSION, layer_tags, subtract
from sr.upscale.video.settings import CODECS


def encode_layer(
    clip: Clip,
    base: Path,
    upscaler: str | Path,
    crf: int,
    directory: Path,
    device: str,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write stream.mkv, with both streams, and, last, point.json.

    Args:
        clip: the clip.
        base: directory of the clip encoded at half its size, see `encode_point`.
        upscaler: bicubic, lanczos, or see `sr.runtime.load.load_upscaler`.
        crf: constant rate factor of the layer; codec and preset are those of the base.
        directory: of the store.
        device: OpenVINO device for an IR.
        progress: counts frames.

    Returns:
        The content of point.json: that of the base, with bytes and kbps of both streams, and "layer": its crf and
        bytes.

    Raises:
        UserError: the codec does not take a value, the model does not fit, or the base lacks frames.
    """
    point: dict[str, Any] = read_json(base / encode_point.RECORD)
    settings = EncodeSettings(point["codec"], point["preset"], crf, FULL)
    decoder = PointDecoder(clip, base / encode_point.STREAM, upscaler, device)
    with atomic_file(directory / encode_point.STREAM) as file:
        layer = _LayerFile(file, clip, settings, decoder)
        for number, frame in enumerate(_residuals(clip, decoder), 1):
            layer.add(frame)
            progress(number, point["frames"])
        layer.finish()
    size = point["bytes"] + layer.bytes
    record = point | {"bytes": size, "kbps": size * 8 / 1000 / point["duration_s"]}
    record["layer"] = {"crf": crf, "bytes": layer.bytes}
    base_s = read_json(base / encode_point.TIMING)["encode_s"]
    write_json(directory / encode_point.TIMING, {"encode_s": base_s + layer.encoding_s})
    write_json(directory / encode_point.RECORD, record)
    return record


def _residuals(clip: Clip, decoder: PointDecoder) -> Iterator[VideoFrame]:
    """Yield the frames of the layer, with the times of the base's frames."""
    upscaled = decoder.frames()
    for number, original in enumerate(clip.frames()):
        other = next(upscaled, None)
        if other is None:
            raise UserError(
                f"{decoder.video.path} ends after {number} frames",
                f"Delete {decoder.video.path.parent} and run again",
            )
        residual = subtract(original, other)
        residual.pts, residual.time_base = other.pts, other.time_base
        yield residual


class _LayerFile:
    """The file with both streams. The layer lies in memory first: its tag holds the hash of its packets as stored."""

    def __init__(self, file: IO[bytes], clip: Clip, settings: EncodeSettings, decoder: PointDecoder) -> None:
        self.bytes, self.encoding_s = 0, 0.0
        if decoder.upscaler is None:
            raise TypeError("a layer needs an upscaler")
        self._file, self._base, self._upscaler = file, decoder.video.path, decoder.upscaler
        self._memory = io.BytesIO()
        self._container = _open_output(self._memory)
        encoder = CODECS[settings.codec].encoder
        stream = self._container.add_stream(encoder, rate=clip.video.frame_rate)
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{encoder} is no video encoder")
        configure_encoder(stream.codec_context, clip.video, settings.video_settings(), 1)
        stream.codec_context.time_base = stream.time_base = decoder.video.time_base
        self._stream = stream

    def add(self, frame: VideoFrame | None) -> None:
        """Encode a frame; None: there are no more."""
        begun = time.perf_counter()
        packets = self._stream.encode(frame)
        self.encoding_s += time.perf_counter() - begun
        for packet in packets:
            self.bytes += packet.size
            self._container.mux(packet)

    def finish(self) -> None:
        """Write both streams into the file."""
        self.add(None)
        self._container.close()
        self._memory.seek(0)
        source, base = open_video(self._base)
        with source, av.open(self._memory, "r") as memory, _open_output(self._file) as output:
            layer = memory.streams.video[0]
            streams = [output.add_stream_from_template(one, opaque=True) for one in (base, layer)]
            read = [list(_read_timed(source)), list(_read_timed(memory))]
            streams[0].metadata[BASE_TAG] = VERSION
            streams[1].metadata.update(layer_tags(self._upscaler, map(bytes, read[1])))
            for packets, stream in zip(read, streams, strict=True):
                for packet in packets:
                    packet.stream = stream
            for packet in sorted(
                itertools.chain(*read), key=lambda one: require_dts(one) * Fraction(one.time_base)
            ):
                output.mux(packet)


def _open_output(file: IO[bytes]) -> OutputContainer:
    container: OutputContainer = av.open(file, "w", format="matroska")
    container.flags |= encode_point.BITEXACT
    return container


def _read_timed(container: InputContainer) -> Iterator[AnyPacket]:
    """Yield the packets of the first video stream with decoding times, which Matroska does not keep."""
    packets = [packet for packet in container.demux(video=0) if packet.size]
    times = sorted(map(require_pts, packets))
    delay = max(pts - require_pts(packet) for pts, packet in zip(times, packets, strict=True))
    for pts, packet in zip(times, packets, strict=True):
        packet.dts = pts - delay
        yield packet
