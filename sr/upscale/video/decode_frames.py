"""Decode the frames of a video in order, the way players do, and report what the decoder could not make of it.

Errors within a frame are concealed. A frame that does not come out of the decoder is a Rejection and does not stop the
work.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import av.filter
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data.exhaustion import raise_if_exhausted
from data.imaging.decode import LARGEST_PX
from data.records import Rejection, RejectionReason
from data.video.demux import AV_ERRORS, error_text, open_video
from data.video.pyav import build_filter_graph, require_pts, require_time_base, top_down
from data.video.timeline import AS_STORED, Timeline, demux_video
from sr.upscale.video.alpha import AlphaCounter
from sr.upscale.video.equal_times import spread_equal_times
from sr.upscale.video.fit_frames import Fit, FrameFitter
from sr.upscale.video.video_info import STAGE, VideoInfo

_SEEK_BACK_S = (0, 3, 30)
"""How far before a time to seek, one after the other, until a frame before it comes out."""


def open_decoder(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a video and its decoder, with error concealment.

    Raises:
        VideoFault: see `open_video`.
    """
    container, stream = open_video(path, allow_interlaced=True)
    # Without `explode`, damaged parts of a frame are concealed. Only oversized images are refused.
    stream.codec_context.options = {"max_pixels": str(LARGEST_PX)}
    return container, stream


def decode_first_frames(path: Path, count: int, timeline: Timeline = AS_STORED) -> list[VideoFrame]:
    """Return the first frames as they come out of the decoder, with the times that a timeline gives them.

    Raises:
        VideoFault: the video cannot be opened.
    """
    container, stream = open_decoder(path)
    with container:
        return list(itertools.islice(_decode(container, stream, [], timeline), count))


def decode_frames(
    video: VideoInfo,
    deinterlace: bool,
    rejections: list[Rejection],
    alpha: AlphaCounter | None = None,
    fitter: FrameFitter | None = None,
) -> Iterator[VideoFrame]:
    """Decode a video from its beginning.

    Args:
        video: the video.
        deinterlace: deinterlace the frames that are marked as interlaced.
        rejections: what is lost is appended to it.
        alpha: counts the frames that are not opaque.
        fitter: counts the frames that differ from the first ones.

    Yields:
        Frames with ascending times, all of the video's size and in a planar format of its chroma and bit depth.
    """
    container, stream = open_decoder(video.path)
    with container:
        last_pts = None
        fit = _start_fitting(video, stream, fitter)
        decoded = _decode(container, stream, rejections, video.timeline, alpha)
        fitted = _deinterlace(decoded, video, fit) if deinterlace else map(fit, decoded)
        for frame in spread_equal_times(fitted):
            pts = require_pts(frame)
            if last_pts is not None and pts <= last_pts:
                detail = f"a frame at {pts} came out after the one at {last_pts}"
                rejections.append(
                    Rejection(f"{video.path.name}@{pts}", STAGE, RejectionReason.UNREADABLE, detail)
                )
                continue
            last_pts = pts
            yield frame


def decode_frame_at(video: VideoInfo, pts: int, deinterlace: bool) -> VideoFrame | None:
    """Decode the first frame at or after a time, from a keyframe before it; None if there is none.

    To deinterlace, the two frames before it are decoded too: the filter looks at them. In transport streams a seek may
    lead behind the keyframe; then it goes further back, and at last to the beginning.
    """
    start = pts - deinterlace * round(2 / video.frame_rate / video.time_base)
    for seek_back_s in (*_SEEK_BACK_S, None):
        container, stream = open_decoder(video.path)
        with container:
            if seek_back_s is not None:
                container.seek(start - round(seek_back_s / video.time_base), stream=stream)
            decoded = _decode(container, stream, [], AS_STORED)
            fit = _start_fitting(video, stream, None)
            is_first = seek_back_s is not None
            for frame in _deinterlace(decoded, video, fit) if deinterlace else map(fit, decoded):
                if is_first and require_pts(frame) > start:
                    break
                is_first = False
                if require_pts(frame) >= pts:
                    return frame
    return None


def _decode(
    container: InputContainer,
    stream: VideoStream,
    rejections: list[Rejection],
    timeline: Timeline,
    alpha: AlphaCounter | None = None,
) -> Iterator[VideoFrame]:
    """Yield all frames that have a presentation time."""
    name = Path(container.name).name

    def reject(where: str, reason: RejectionReason, detail: str) -> None:
        rejections.append(Rejection(f"{name}{where}", STAGE, reason, detail))

    packets = demux_video(container, stream, timeline)
    while True:
        try:
            packet = next(packets, None)
        except AV_ERRORS as error:
            raise_if_exhausted(error)
            reject("", RejectionReason.TRUNCATED, f"the video is cut short: {error_text(error)}")
            packet = None
        try:
            decoded = packet.decode() if packet is not None else stream.decode(None)
            frames = [top_down(frame) for frame in decoded]
        except EOFError:  # the demuxer's own last packet has flushed the decoder
            frames = []
        except AV_ERRORS as error:
            raise_if_exhausted(error)
            frames = []
            at = packet.pts if packet is not None else "its end"
            reject(f"@{at}", RejectionReason.UNREADABLE, f"decoding: {error_text(error)}")
        if alpha is not None:
            alpha.count(packet, frames)
        for frame in frames:
            if frame.pts is not None:
                yield frame
            else:
                reject("", RejectionReason.UNREADABLE, "a frame without a presentation time")
        if packet is None:
            return


def _start_fitting(video: VideoInfo, stream: VideoStream, fitter: FrameFitter | None) -> Fit:
    """Return what brings each frame that the stream's decoder gives into the form of the video's first ones."""
    context = stream.codec_context
    used = fitter or FrameFitter(video)
    used.first_aspect = context.sample_aspect_ratio
    return lambda frame: used.fit(frame, context.sample_aspect_ratio)


def _deinterlace(frames: Iterator[VideoFrame], video: VideoInfo, fit: Fit) -> Iterator[VideoFrame]:
    """Deinterlace frames, and fit them: those of the video's size before, others (whose fields scaling mixes) after."""
    graphs: dict[tuple[int, int, str], av.filter.Graph] = {}
    for frame in frames:
        is_whole = (frame.width, frame.height) == (video.width, video.height)
        frame = fit(frame) if is_whole else frame
        key = (frame.width, frame.height, frame.format.name)
        if key not in graphs:
            yield from _finish_graphs(graphs, video, fit)
            graphs[key] = build_filter_graph(
                frame, video.time_base, ("bwdif", "mode=send_frame:deint=interlaced")
            )
        graphs[key].vpush(frame)
        yield from (one if is_whole else fit(one) for one in _pull_frames(graphs[key], video))
    yield from _finish_graphs(graphs, video, fit)


def _finish_graphs(
    graphs: dict[tuple[int, int, str], av.filter.Graph], video: VideoInfo, fit: Fit
) -> Iterator[VideoFrame]:
    """Yield what filters still hold, and forget them."""
    for (width, height, _), graph in graphs.items():
        graph.vpush(None)
        is_whole = (width, height) == (video.width, video.height)
        yield from (one if is_whole else fit(one) for one in _pull_frames(graph, video))
    graphs.clear()


def _pull_frames(graph: av.filter.Graph, video: VideoInfo) -> Iterator[VideoFrame]:
    with contextlib.suppress(BlockingIOError, EOFError):
        while True:
            frame = graph.vpull()
            # The filter counts in half units.
            frame.pts = round(require_pts(frame) * require_time_base(frame) / video.time_base)
            frame.time_base = video.time_base
            yield frame
