"""Decoding, upscaling and encoding at the same time: one thread decodes, some upscale, the caller's encodes.

What waits between them is bounded, so memory depends on the size of a frame and not on the length of the video.
"""

import collections
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
from av.video.frame import VideoFrame

_END = object()
_AHEAD = 4
"""Frames that may wait decoded, and beyond the workers' own, upscaled."""


def ahead(frames: Iterator[VideoFrame | None], bound: int = _AHEAD) -> Iterator[VideoFrame]:
    """Yield the frames that an iterator yields; a thread of its own runs it, some frames ahead.

    A None is passed over: it is a frame that nobody wants, and a moment to end in when nobody wants any more.
    """
    waiting: queue.Queue[Any] = queue.Queue(bound)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.2)
                return True
        return False

    def run() -> None:
        try:
            for frame in frames:
                if stopped.is_set() or (frame is not None and not put((frame, None))):
                    return
            put((_END, None))
        except BaseException as error:  # it is raised where the frames are wanted
            put((_END, error))

    thread = threading.Thread(target=run, name="decode", daemon=True)
    thread.start()
    try:
        while True:
            frame, error = waiting.get()
            if error is not None:
                raise error
            if frame is _END:
                return
            yield frame
    finally:
        stopped.set()
        thread.join()


def upscaled(
    frames: Iterator[VideoFrame | None], upscale: Callable[[VideoFrame], VideoFrame], workers: int
) -> Iterator[VideoFrame]:
    """Yield each frame upscaled, in their order; `workers` threads upscale, and another decodes `ahead`."""
    pending: collections.deque[Future[VideoFrame]] = collections.deque()
    cores = cv2.getNumThreads()
    cv2.setNumThreads(1)  # each worker is a thread already
    decoded = ahead(frames)
    pool = ThreadPoolExecutor(workers, "upscale")
    try:
        for frame in decoded:
            pending.append(pool.submit(upscale, frame))
            if len(pending) >= workers + _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        decoded.close()
        cv2.setNumThreads(cores)
