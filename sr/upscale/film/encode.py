"""The encoder of a film: set up alike for every segment and for the container's header. Knows no files."""

from fractions import Fraction

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from data.errors import UserError
from sr.upscale.film.description import Film
from sr.upscale.film.segments import EncodedPacket
from sr.upscale.film.settings import CODECS, FilmSettings


def output_bits(film: Film, settings: FilmSettings) -> int:
    """Return the bits of a sample of the enlarged film: 8 or 10.

    Raises:
        UserError: 8 were asked for an HDR film.
    """
    if settings.bits == "8" and film.is_hdr:
        raise UserError("10 bits for PQ and HLG", "8", "--bits", "leave it at same: 8 bits would show bands")
    if settings.bits == "same":
        return 8 if film.bits <= 8 else 10
    return int(settings.bits)


def output_format(film: Film, settings: FilmSettings, scale: int) -> str:
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
    wanted = film.planar(output_bits(film, settings))
    if wanted not in known:
        remedy = "choose another codec" if settings.codec == "svtav1" else "convert the film to 4:2:0 first"
        raise UserError(f"a pixel format that {settings.codec} takes", wanted, str(film.path), remedy)
    if film.rate > codec.largest_rate:
        expected = f"up to {codec.largest_rate} frames a second for {settings.codec}"
        raise UserError(expected, f"{float(film.rate):g}", str(film.path), "choose another codec")
    odd = (film.width * scale % 2 and film.chroma in ("420", "422")) or (
        film.height * scale % 2 and film.chroma == "420"
    )
    if odd:
        got = f"{film.width}x{film.height} times {scale}"
        raise UserError(
            f"even sides for 4:{film.chroma[1:]}", got, str(film.path), "use a model of scale 2 or 4"
        )
    return wanted


def set_up(context: VideoCodecContext, film: Film, settings: FilmSettings, scale: int) -> None:
    """Tell an encoder everything, before it is opened."""
    context.width, context.height = film.width * scale, film.height * scale
    context.pix_fmt = output_format(film, settings, scale)
    context.framerate, context.time_base = film.rate, film.time_base
    context.sample_aspect_ratio = film.aspect
    for name, value in film.tags.items():
        setattr(context, name, value)
    siting = film.siting if film.chroma == "420" else ""
    context.options = settings.options(film.master_display, film.light_level, siting)
    if settings.codec == "x264":
        context.thread_count = settings.encoder_threads
    context.flags |= Flags.global_header


class SegmentEncoder:
    """Encodes the frames of one segment; the first packet is a keyframe, and nothing leans on another segment."""

    def __init__(self, film: Film, settings: FilmSettings, scale: int) -> None:
        self._context = av.CodecContext.create(CODECS[settings.codec].encoder, "w")
        set_up(self._context, film, settings, scale)
        self._time_base: Fraction = film.time_base
        self._packets: list[EncodedPacket] = []
        self._context.open()

    def add(self, frame: VideoFrame) -> None:
        """Take the next frame; its `pts` is in the film's units."""
        frame.time_base = self._time_base
        self._take(self._context.encode(frame))

    def finish(self) -> tuple[list[EncodedPacket], bytes]:
        """Return all packets in the order of decoding, and the encoder's extradata."""
        self._take(self._context.encode(None))
        return self._packets, bytes(self._context.extradata or b"")

    def _take(self, packets: list[av.Packet]) -> None:
        self._packets += [EncodedPacket(one.pts, one.is_keyframe, bytes(one)) for one in packets]
