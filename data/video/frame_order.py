"""Refuse videos whose frames leave the decoder in another order than their presentation times say.

AVI stores no presentation times: FFmpeg counts chunks. That is right without B-frames, and for MPEG-4 with one frame
in each chunk, because FFmpeg works out their order. For H.264 with B-frames, and for MPEG-4 that packs two frames
into one chunk (as DivX and Xvid do), the count follows the decoding order, and each frame gets another frame's time.
"""

from collections.abc import Iterator
from pathlib import Path

from av.container import InputContainer
from av.video.frame import PictureType as FrameType  # words: ok
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.records import RejectionReason
from data.video.demux import VideoFault, open_video, skip_damage
from data.video.pyav import require_pts

_CHECKED_FRAMES = 48
"""Frames checked from the first B-frame on (from the beginning if there is none): wrong times show within a few."""
_ENCODE_COMMAND = "ffmpeg -i IN -c:v libx264 -crf 12 -c:a copy OUT.mkv"
_ENCODE_HINT = f"Encode it again, for example: {_ENCODE_COMMAND}"
_UNPACK_HINT = (
    "Unpack its B-frames without loss: ffmpeg -i IN -c copy -bsf:v mpeg4_unpack_bframes OUT.avi."
    f" Or encode it again, for example: {_ENCODE_COMMAND}"
)


def check_frame_order(path: Path) -> None:
    """Decode the first frames of an AVI file, up to its first B-frames. Other containers store presentation times.

    A video that cannot be decoded passes: the code that reads its frames reports what is wrong.

    Raises:
        VideoFault: a frame came out after one that shows later, or the video cannot be opened.
    """
    container, stream = open_video(path, allow_interlaced=True)
    with container:
        if container.format.name != "avi":
            return
        context = stream.codec_context
        previous: VideoFrame | None = None
        first_b: int | None = None
        for count, frame in enumerate(_decode_timed(container, stream)):
            if previous is not None and require_pts(frame) < require_pts(previous):
                detail = (
                    "AVI stores no presentation times, and its B-frames are out of order"
                    f" at {previous.time:.2f} s"
                )
                hint = _UNPACK_HINT if context.name == "mpeg4" else _ENCODE_HINT
                raise VideoFault(RejectionReason.UNSUPPORTED, detail, hint)
            previous = frame
            if first_b is None and frame.pict_type == FrameType.B:
                first_b = count
            # If the header announces B-frames, go on until there is one: they may begin late.
            start = first_b if context.has_b_frames else 0
            if start is not None and count >= start + _CHECKED_FRAMES:
                return


def _decode_timed(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield the frames that have a presentation time, in the decoder's order; skip damage."""
    with skip_damage():
        for packet in container.demux(stream):
            with skip_damage():
                yield from (frame for frame in packet.decode() if frame.pts is not None)
