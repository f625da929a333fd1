"""Decode an encoded clip, upscale it if it is half as large, and add its enhancement layer if it has one."""

import dataclasses
import threading
import time
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from pathlib import Path

from av.video.frame import VideoFrame

from data.errors import UserError
from data.processes.watchdog import DEFAULT_TIMEOUT_S, Watchdog
from data.records import Rejection
from sr.codec_gain.clip import Clip
from sr.upscale.video.concurrent_stages import upscale_frames
from sr.upscale.video.decode_frames import decode_frames
from sr.upscale.video.enhancement import open_layer
from sr.upscale.video.frame_network import load_network
from sr.upscale.video.probe import probe_video
from sr.upscale.video.upscale_frame import FrameUpscaler
from sr.upscale.video.upscale_plane import BICUBIC, LANCZOS

NONE = "none"
"""The upscaler of a clip that is encoded at full size."""
FILTERS = (BICUBIC, LANCZOS)
SCALE = 2
_WORKERS = 2


class Timer:
    """Seconds of threads: decoding, and upscaling."""

    def __init__(self) -> None:
        self.decode_s = self.upscale_s = 0.0
        self._lock = threading.Lock()

    def of_upscaling(self, upscale: Callable[[VideoFrame], VideoFrame]) -> Callable[[VideoFrame], VideoFrame]:
        """Return `upscale`, with its time counted."""

        def timed(frame: VideoFrame) -> VideoFrame:
            begun = time.perf_counter()
            upscaled = upscale(frame)
            with self._lock:
                self.upscale_s += time.perf_counter() - begun
            return upscaled

        return timed

    def of_decoding(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """Yield `frames`, with the time that each took counted."""
        while True:
            begun = time.perf_counter()
            frame = next(frames, None)
            self.decode_s += time.perf_counter() - begun
            if frame is None:
                return
            yield frame


class PointDecoder:
    """The frames of an encoded clip in the size of the original, by the code of UpscaleVideo.

    Args:
        clip: the original.
        stream: the encoded clip.
        upscaler: none for full size; bicubic, lanczos, or see `sr.runtime.load.load_upscaler`.
        device: OpenVINO device for an IR.

    Raises:
        UserError: the model is not found or does not upscale by 2, or the enhancement layer is damaged.
    """

    def __init__(self, clip: Clip, stream: Path, upscaler: str | Path, device: str) -> None:
        self.video = probe_video(stream, allow_interlaced=False)
        self.timer = Timer()
        self.upscaler: FrameUpscaler | None = None
        """None for a clip of full size."""
        self._layer = None
        if upscaler != NONE:
            self.upscaler, self._workers = _load_frame_upscaler(clip, upscaler, device, self.video.time_base)
            self._layer = open_layer(self.video, self.upscaler)

    def frames(self) -> Generator[VideoFrame, None, None]:
        """Yield the frames in order.

        Raises:
            UserError: a frame is damaged.
        """
        rejections: list[Rejection] = []
        frames = self.timer.of_decoding(decode_frames(self.video, False, rejections))
        if self.upscaler is None:
            yield from frames
        else:
            watchdog = Watchdog(f"Measuring {self.video.path.name}", "Run again", DEFAULT_TIMEOUT_S)
            timed = self.timer.of_upscaling(self.upscaler)
            upscaled = upscale_frames(frames, timed, self._workers, watchdog)
            yield from self.timer.of_decoding(map(self._layer.enhance, upscaled)) if self._layer else upscaled
        if rejections:
            raise UserError(
                f"{self.video.path}: {rejections[0].detail}", f"Delete {self.video.path.parent} and run again"
            )


def _load_frame_upscaler(
    clip: Clip, upscaler: str | Path, device: str, time_base: Fraction
) -> tuple[FrameUpscaler, int]:
    """Return what upscales frames of half the clip's size, and by how many threads to call it."""
    half = dataclasses.replace(clip.half, time_base=time_base)
    pixel_format = half.planar_format(8 if half.bit_depth == 8 else 10)
    if str(upscaler) in FILTERS:
        return FrameUpscaler(None, half, SCALE, pixel_format, str(upscaler)), _WORKERS
    network = load_network(upscaler, half.height, half.width, device)
    if network.scale != SCALE:
        raise UserError(
            f"{upscaler} upscales by {network.scale}, but clips are halved", f"Give a model of scale {SCALE}"
        )
    return FrameUpscaler(network, half, SCALE, pixel_format), network.workers
