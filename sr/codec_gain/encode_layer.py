"""Encode the enhancement layer of a half-size clip: what its upscaled frames lack, as a second stream beside it."""

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
from av.container import OutputContainer
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
    """The file with both streams. The packets of the layer wait in memory until its header is known."""

    def __init__(self, file: IO[bytes], clip: Clip, settings: EncodeSettings, decoder: PointDecoder) -> None:
        self.bytes, self.encoding_s = 0, 0.0
        self._time_base: Fraction = decoder.video.time_base
        self._source, base = open_video(decoder.video.path)
        self._container: OutputContainer = av.open(file, "w", format="matroska")
        self._container.flags |= encode_point.BITEXACT
        self._base = self._container.add_stream_from_template(base, opaque=True)
        self._base.metadata[BASE_TAG] = VERSION
        encoder = CODECS[settings.codec].encoder
        stream = self._container.add_stream(encoder, rate=clip.video.frame_rate)
        if not isinstance(stream, VideoStream) or decoder.upscaler is None:
            raise TypeError(f"{encoder} is no video encoder, or there is no upscaler")
        configure_encoder(stream.codec_context, clip.video, settings.video_settings(), 1)
        stream.codec_context.time_base = stream.time_base = self._time_base
        stream.metadata.update(layer_tags(decoder.upscaler))
        self._layer = stream
        self._packets: list[AnyPacket] = []

    def add(self, frame: VideoFrame) -> None:
        begun = time.perf_counter()
        self._packets += self._layer.encode(frame)
        self.encoding_s += time.perf_counter() - begun

    def finish(self) -> None:
        begun = time.perf_counter()
        self._packets += self._layer.encode(None)
        self.encoding_s += time.perf_counter() - begun
        self.bytes = sum(packet.size for packet in self._packets)
        with self._source:
            base = [packet for packet in self._source.demux(video=0) if packet.size]
            times = sorted(map(require_pts, base))
            delay = max(pts - require_pts(packet) for pts, packet in zip(times, base, strict=True))
            for pts, packet in zip(times, base, strict=True):  # Matroska keeps no decoding times
                packet.stream, packet.dts = self._base, pts - delay
            both = sorted([*base, *self._packets], key=lambda one: require_dts(one) * one.time_base)
            for packet in both:
                self._container.mux(packet)
        self._container.close()
