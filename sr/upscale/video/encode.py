"""The encoder of a video: set up alike for every segment and for the container's header. Knows no files."""

from fractions import Fraction

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from data.errors import UserError
from sr.upscale.video.segments import EncodedPacket
from sr.upscale.video.settings import CODECS, VideoSettings
from sr.upscale.video.video_info import Video


def output_bits(video: Video, settings: VideoSettings) -> int:
    """Return the bits of a sample of the upscaled video: 8 or 10.

    Raises:
        UserError: 8 were asked for an HDR video.
    """
    if settings.bits == "8" and video.is_hdr:
        raise UserError("10 bits for PQ and HLG", "8", "--bits", "leave it at same: 8 bits would show bands")
    if settings.bits == "same":
        return 8 if video.bits <= 8 else 10
    return int(settings.bits)


def output_format(video: Video, settings: VideoSettings, scale: int) -> str:
    """Return the pixel format that is encoded.

    Raises:
        UserError: the encoder is missing, does not take it, or not at that size.
    """
    codec = CODECS[settings.codec]
    try:
        known = {one.name for one in av.Codec(codec.encoder, "w").video_formats or []}
    except ValueError:
        others = ", ".join(name for name in CODECS if name != settings.codec)
        raise UserError(
            "an encoder", f"a build of PyAV without {codec.encoder}", "--codec", f"try {others}"
        ) from None
    wanted = video.planar(output_bits(video, settings))
    if wanted not in known:
        remedy = "choose another codec" if settings.codec == "svtav1" else "convert the video to 4:2:0 first"
        raise UserError(f"a pixel format that {settings.codec} takes", wanted, str(video.path), remedy)
    if video.rate > codec.largest_rate:
        expected = f"up to {codec.largest_rate} frames a second for {settings.codec}"
        raise UserError(expected, f"{float(video.rate):g}", str(video.path), "choose another codec")
    odd = (video.width * scale % 2 and video.chroma in ("420", "422")) or (
        video.height * scale % 2 and video.chroma == "420"
    )
    if odd:
        got = f"{video.width}x{video.height} times {scale}"
        raise UserError(
            f"even sides for 4:{video.chroma[1:]}", got, str(video.path), "use a model of scale 2 or 4"
        )
    return wanted


def set_up(context: VideoCodecContext, video: Video, settings: VideoSettings, scale: int) -> None:
    """Tell an encoder everything, before it is opened."""
    context.width, context.height = video.width * scale, video.height * scale
    context.pix_fmt = output_format(video, settings, scale)
    context.framerate, context.time_base = video.rate, video.time_base
    context.sample_aspect_ratio = video.aspect
    for name, value in video.tags.items():
        setattr(context, name, value)
    siting = video.siting if video.chroma == "420" else ""
    context.options = settings.options(video.master_display, video.light_level, siting)
    if settings.codec == "x264":
        context.thread_count = settings.encoder_threads
    context.flags |= Flags.global_header


class SegmentEncoder:
    """Encodes the frames of one segment; the first packet is a keyframe, and nothing leans on another segment."""

    def __init__(self, video: Video, settings: VideoSettings, scale: int) -> None:
        self._context = av.CodecContext.create(CODECS[settings.codec].encoder, "w")
        set_up(self._context, video, settings, scale)
        self._time_base: Fraction = video.time_base
        self._packets: list[EncodedPacket] = []
        self._context.open()

    def add(self, frame: VideoFrame) -> None:
        """Take the next frame; its `pts` is in the video's units."""
        frame.time_base = self._time_base
        self._take(self._context.encode(frame))

    def finish(self) -> tuple[list[EncodedPacket], bytes]:
        """Return all packets in the order of decoding, and the encoder's extradata."""
        self._take(self._context.encode(None))
        return self._packets, bytes(self._context.extradata or b"")

    def _take(self, packets: list[av.Packet]) -> None:
        self._packets += [EncodedPacket(one.pts, one.is_keyframe, bytes(one)) for one in packets]
