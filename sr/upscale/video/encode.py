"""The video encoder, configured the same way for every segment and for the container's header. Knows no files."""

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from data.errors import UserError
from data.video.pyav import AnyPacket, require_pts
from sr.upscale.video.segments import EncodedPacket
from sr.upscale.video.settings import CODECS, VideoUpscaleSettings
from sr.upscale.video.video_info import VideoInfo


def output_bit_depth(video: VideoInfo, settings: VideoUpscaleSettings) -> int:
    """Return the bits per sample of the upscaled video: 8 or 10.

    Raises:
        UserError: the settings say 8 for an HDR video.
    """
    if settings.bits == "8" and video.is_hdr:
        raise UserError(
            f"{video.path} is HDR (PQ or HLG), which --bits 8 would show with bands", "Leave --bits at same"
        )
    if settings.bits == "same":
        return 8 if video.bit_depth <= 8 else 10
    return int(settings.bits)


def output_pixel_format(video: VideoInfo, settings: VideoUpscaleSettings, scale: int) -> str:
    """Return FFmpeg's name of the pixel format to encode.

    Raises:
        UserError: the encoder is missing, or does not support the format, the frame rate or the size.
    """
    name, codec = settings.codec, CODECS[settings.codec]
    try:
        supported = {one.name for one in av.Codec(codec.encoder, "w").video_formats or []}
    except ValueError:
        others = ", ".join(other for other in CODECS if other != name)
        raise UserError(
            f"This build of PyAV has no {codec.encoder}, which --codec {name} needs", f"Try {others}"
        ) from None
    pixel_format = video.planar_format(output_bit_depth(video, settings))
    if pixel_format not in supported:
        hint = "Choose another --codec" if name == "svtav1" else "Convert the video to 4:2:0 first"
        raise UserError(f"{name} does not encode the pixel format {pixel_format} of {video.path}", hint)
    if video.frame_rate > codec.max_frame_rate:
        raise UserError(
            f"{name} encodes up to {codec.max_frame_rate} frames per second,"
            f" but {video.path} has {float(video.frame_rate):g}",
            "Choose another --codec",
        )
    _check_even_sides(video, scale)
    _check_size(video, name, scale)
    return pixel_format


def _check_even_sides(video: VideoInfo, scale: int) -> None:
    """Refuse a result that subsampled chroma does not fit."""
    is_odd = (video.width * scale % 2 and video.chroma in ("420", "422")) or (
        video.height * scale % 2 and video.chroma == "420"
    )
    if is_odd:
        raise UserError(
            f"4:{video.chroma[1:]} needs even sides, but {video.path} is {video.width}x{video.height},"
            f" upscaled {scale} times",
            "Use a model of scale 2 or 4",
        )


def _check_size(video: VideoInfo, name: str, scale: int) -> None:
    """Refuse a result that is too large or too small for the encoder."""
    height, width = video.height * scale, video.width * scale
    fitting = [
        other
        for other, codec in CODECS.items()
        if codec.min_side <= min(height, width) and height <= codec.max_height and width <= codec.max_width
    ]
    if name not in fitting:
        codec = CODECS[name]
        is_small = min(height, width) < codec.min_side
        limit = (
            f"{codec.min_side}x{codec.min_side} or more"
            if is_small
            else f"up to {codec.max_width}x{codec.max_height}"
        )
        hints = [f"--codec {' or '.join(fitting)}"] if fitting else []
        hints.append(f"a {'larger' if is_small else 'smaller'} scale")
        raise UserError(
            f"{name} encodes {limit}, but {video.path} is {video.width}x{video.height}, upscaled {scale} times"
            f" {width}x{height}",
            f"Use {', or '.join(hints)}",
        )


def configure_encoder(
    context: VideoCodecContext, video: VideoInfo, settings: VideoUpscaleSettings, scale: int
) -> None:
    """Configure an encoder before it is opened."""
    context.width, context.height = video.width * scale, video.height * scale
    context.pix_fmt = output_pixel_format(video, settings, scale)
    context.framerate, context.time_base = video.frame_rate, video.time_base
    context.sample_aspect_ratio = video.sample_aspect_ratio
    for name, value in video.color_tags.items():
        setattr(context, name, value)
    chroma_location = video.chroma_location if video.chroma == "420" else ""
    context.options = settings.options(video.master_display, video.light_level, chroma_location)
    if settings.codec == "x264":
        context.thread_count = settings.encoder_threads
    context.flags |= Flags.global_header


class SegmentEncoder:
    """Encodes the frames of one segment. The first packet is a keyframe, and nothing refers to another segment."""

    def __init__(self, video: VideoInfo, settings: VideoUpscaleSettings, scale: int) -> None:
        encoder = CODECS[settings.codec].encoder
        context = av.CodecContext.create(encoder, "w")
        if not isinstance(context, VideoCodecContext):
            raise TypeError(f"{encoder} is not a video encoder")
        configure_encoder(context, video, settings, scale)
        self._context = context
        self._time_base = video.time_base
        self._packets: list[EncodedPacket] = []
        self._context.open()

    def add(self, frame: VideoFrame) -> None:
        """Encode the next frame; its `pts` is in units of the video's time base."""
        frame.time_base = self._time_base
        self._collect(self._context.encode(frame))

    def finish(self) -> tuple[list[EncodedPacket], bytes]:
        """Flush the encoder; return all packets in decoding order, and the encoder's extradata."""
        self._collect(self._context.encode(None))
        return self._packets, bytes(self._context.extradata or b"")

    def _collect(self, packets: list[AnyPacket]) -> None:
        self._packets += [EncodedPacket(require_pts(one), one.is_keyframe, bytes(one)) for one in packets]
