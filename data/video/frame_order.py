"""Refuse videos whose frames come out of the decoder in another order than their times say.

AVI stores no time at which a frame shows: FFmpeg counts chunks. That is right without B-frames, and for MPEG-4 with
one frame a chunk, whose order FFmpeg works out. For H.264 with B-frames, and for MPEG-4 that packs two frames into one
chunk (as DivX and Xvid do), the numbers follow the order of decoding, and each frame gets another's time.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from av.container import InputContainer
from av.video.frame import ImageType, VideoFrame
from av.video.stream import VideoStream

from data.records import Reason
from data.video.demux import FAULTS, VideoFault, open_video

_LOOKED_AT = 48
"""Frames from the first B-frame on, or from the beginning of a video without: wrong times show within a few."""
_ENCODE = "encode it anew, for example: ffmpeg -i IN -c:v libx264 -crf 12 -c:a copy OUT.mkv"
_UNPACK = "unpack it without loss: ffmpeg -i IN -c copy -bsf:v mpeg4_unpack_bframes OUT.avi, or "


def refuse_untrue_times(path: Path) -> None:
    """Decode the beginning of an AVI, up to its first B-frames; other containers have their frames' times.

    A video that can't be decoded passes: whoever reads its frames tells what is wrong.

    Raises:
        VideoFault: a frame came out after one that shows later, or the video cannot be opened.
    """
    container, stream = open_video(path, interlaced=True)
    with container:
        if container.format.name != "avi":
            return
        context, shown, first_b = stream.codec_context, None, None
        for count, frame in enumerate(_decode(container, stream)):
            if shown is not None and frame.pts < shown.pts:
                detail = f"AVI, which does not say when frames show, with B-frames out of order at {shown.time:.2f} s"
                remedy = _UNPACK + _ENCODE if context.name == "mpeg4" else _ENCODE
                raise VideoFault(Reason.UNSUPPORTED, detail, remedy)
            shown = frame
            if first_b is None and frame.pict_type == ImageType.B:
                first_b = count
            # Where B-frames are announced, the search goes on until there is one: they may begin late.
            start = first_b if context.has_b_frames else 0
            if start is not None and count >= start + _LOOKED_AT:
                return


def _decode(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield the frames that have a time, as they come out; damage is passed over."""
    with contextlib.suppress(*FAULTS):
        for packet in container.demux(stream):
            with contextlib.suppress(*FAULTS):
                yield from (frame for frame in packet.decode() if frame.pts is not None)
