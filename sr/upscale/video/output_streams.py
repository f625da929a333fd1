"""Set up the streams of an output container: the upscaled video, and a copy of each other stream of the source."""

from pathlib import Path

from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import AttachmentStream, Stream
from av.video.stream import VideoStream

from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.video.demux import AV_ERRORS, error_text
from sr.upscale.video.alpha import ALPHA_TAG
from sr.upscale.video.convert_audio import AUDIO_CODECS, COPY, AudioConverter, add_encoder
from sr.upscale.video.copied_streams import COVER_MIMETYPES, is_cover, read_cover
from sr.upscale.video.encode import configure_encoder
from sr.upscale.video.enhancement import NAME, TAG_PREFIX, is_layer
from sr.upscale.video.refusals import refusal
from sr.upscale.video.settings import CODECS, CONTAINERS, VideoUpscaleSettings
from sr.upscale.video.stream_trials import StreamTrials, add_copy, codec_name
from sr.upscale.video.video_info import VideoInfo

_ENCODING_TAGS = (
    ALPHA_TAG,
    TAG_PREFIX,
    "BPS",
    "NUMBER_OF_",
    "_STATISTICS_",
    "DURATION",
    "ENCODER",
    "VENDOR_ID",
    "HANDLER_NAME",
)
"""Prefixes of stream metadata that describes the old encoding and not the images."""


def container_format(output: Path) -> str:
    """Return FFmpeg's name of the container for a file's suffix.

    Raises:
        UserError: no container has this suffix.
    """
    if output.suffix.lower() not in CONTAINERS:
        raise UserError(
            f"--output-file {output.name} has no suffix of a supported container",
            f"Choose a name ending in {', '.join(CONTAINERS)}",
        )
    return CONTAINERS[output.suffix.lower()]


class OutputStreams:
    """The streams of an output container, which are added to it in the source's order.

    Args:
        container: the output; it has no streams yet.
        output: its path.
        source: the open source; nothing has been read from it yet.
        video: the source.
        settings: of the encoder.
        scale: how many times taller and wider the upscaled video is.

    Raises:
        UserError: the container does not support a stream.
    """

    video: VideoStream
    """The upscaled video."""

    def __init__(
        self,
        container: OutputContainer,
        output: Path,
        source: InputContainer,
        video: VideoInfo,
        settings: VideoUpscaleSettings,
        scale: int,
    ) -> None:
        self._container, self._output, self._info = container, output, video
        self.copies: dict[int, Stream] = {}
        """Output streams of the copied packets, by the source's stream indices."""
        self.not_copied = list(video.dropped_metadata)
        """What is not copied, and why."""
        self.converters: dict[int, AudioConverter] = {}
        """What converts the streams that are not copied as they are, by the source's stream indices."""
        self.converted: list[str] = []
        """What is converted, in words."""
        self._audio, self._source_format = settings.audio, source.format.name
        self._check_audio()
        self._trials = StreamTrials(video.path, video.stream_index)
        self._refused: list[tuple[Stream, str]] = []
        for stream in source.streams:
            if stream.index == video.stream_index:
                self.video = self._add_video(stream, settings, scale)
            elif is_layer(stream):
                if settings.enhancement == "off":
                    self.not_copied.append(f"stream {stream.index} ({NAME}), as asked")
            elif stream.index in settings.leave_out:
                self.not_copied.append(f"stream {stream.index} ({stream.type}), as asked")
            else:
                self._add_other(stream)
        if self._refused:
            raise refusal(self._output, self._refused, self._trials, video.path)

    def _check_audio(self) -> None:
        suffix = self._output.suffix.lower()
        if self._audio != COPY and suffix not in AUDIO_CODECS[self._audio].containers:
            others = [name for name, one in AUDIO_CODECS.items() if suffix in one.containers]
            raise UserError(f"{suffix} does not support --audio {self._audio}", f"Use {' or '.join(others)}")

    def _add_video(self, stream: Stream, settings: VideoUpscaleSettings, scale: int) -> VideoStream:
        video, suffix = self._info, self._output.suffix
        if settings.codec == "svtav1" and video.sample_aspect_ratio != 1 and suffix.lower() != ".mp4":
            raise UserError(
                f"svtav1 in {suffix} cannot store the pixel aspect ratio {video.sample_aspect_ratio}"
                f" of {video.path}",
                "Choose x264 or x265, or name the output .mp4",
            )
        try:
            output = self._container.add_stream(CODECS[settings.codec].encoder, rate=video.frame_rate)
        except ValueError:
            raise UserError(f"{suffix} does not support {settings.codec}", "Name the output .mkv") from None
        if not isinstance(output, VideoStream):
            raise TypeError(f"{settings.codec} is not a video encoder")
        configure_encoder(output.codec_context, video, settings, scale)
        output.time_base = video.time_base
        output.disposition = stream.disposition
        tags = stream.metadata.items()
        output.metadata.update(
            {name: value for name, value in tags if not name.upper().startswith(_ENCODING_TAGS)}
        )
        if video.display_matrix:
            matrix = list(video.display_matrix)
            matrix[6:8] = [value * scale for value in matrix[6:8]]  # the translation is in pixels
            output.set_display_matrix(matrix)
        return output

    def _add_other(self, stream: Stream) -> None:
        """Add a stream that is copied or converted, or note why it is not."""
        if isinstance(stream, AttachmentStream):
            self._add_attachment(stream)
            return
        if stream.type == "data":
            # Timecodes, and MP4's own chapter track, which the chapters create anew.
            self.not_copied.append(f"stream {stream.index} (data)")
            return
        codec = codec_name(stream)
        if is_cover(stream):
            self._add_cover(stream, codec)
        elif isinstance(stream, AudioStream) and self._audio not in (COPY, codec):
            self._add_converted(stream, codec)
        elif why := self._trials.failure(stream.index, container_format(self._output)):
            self._refused.append((stream, why))
        else:
            self._add_copy(stream)

    def _add_copy(self, stream: Stream) -> None:
        output = add_copy(self._container, stream)
        output.disposition = stream.disposition
        output.metadata.update(stream.metadata)
        self.copies[stream.index] = output

    def _add_converted(self, stream: AudioStream, codec: str) -> None:
        """Add a sound stream that is converted.

        Raises:
            UserError: the container does not take the codec to convert to, or the encoder not the sound.
        """
        where = f"stream {stream.index} (audio, {codec}) of {self._info.path}"
        if not self._trials.can_decode(stream):
            hint = f"Add --leave-out {stream.index}, or leave --audio out"
            raise UserError(f"{where} cannot be decoded, and so not converted", hint)
        try:
            output = add_encoder(self._container, stream, AUDIO_CODECS[self._audio])
        except AV_ERRORS as error:
            raise_if_exhausted(error)
            raise UserError(
                f"{where} cannot be converted to {self._audio}: {error_text(error)}",
                f"Use another --audio, or add --leave-out {stream.index}",
            ) from None
        output.disposition = stream.disposition
        tags = stream.metadata.items()
        output.metadata.update(
            {name: value for name, value in tags if not name.upper().startswith(_ENCODING_TAGS)}
        )
        self.copies[stream.index] = output
        self.converters[stream.index] = AudioConverter(stream, output, self._source_format != "avi")
        self.converted.append(f"stream {stream.index} (audio): {codec} to {self._audio}")

    def _add_attachment(self, stream: AttachmentStream) -> None:
        if container_format(self._output) != "matroska":
            detail = f"stream {stream.index} (attachment {stream.name}): only .mkv supports it"
            self.not_copied.append(detail)
            return
        self._container.add_attachment(
            stream.name or "attachment", stream.mimetype or "application/octet-stream", stream.data
        )

    def _add_cover(self, stream: Stream, codec: str) -> None:
        container, mimetype = container_format(self._output), COVER_MIMETYPES.get(codec, "")
        content = read_cover(self._info.path, stream.index) if mimetype else b""
        if content and container == "matroska":
            tags = stream.metadata
            suffix = mimetype.removeprefix("image/").replace("jpeg", "jpg")
            name = tags.get("filename") or f"cover.{suffix}"
            self._container.add_attachment(name, tags.get("mimetype") or mimetype, content)
        elif content and container == "mp4" and codec in ("png", "mjpeg"):
            self._add_copy(stream)
        else:
            detail = f"stream {stream.index} (cover, {codec}): {self._output.suffix} does not support it"
            self.not_copied.append(detail)
