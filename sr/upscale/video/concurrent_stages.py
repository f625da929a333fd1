"""Decode, upscale and encode at the same time: one thread decodes, several upscale, and the caller's thread encodes.

The queues between them are bounded, so memory depends on the size of a frame and not on the length of the video.
"""

import collections
import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import cv2
from av.video.frame import VideoFrame

_QUEUE_SIZE = 4
"""Frames that may wait after decoding and, beyond one for each worker, after upscaling."""

_Item: TypeAlias = "VideoFrame | BaseException | None"
"""A decoded frame, the error that ended decoding, or None for the end."""


def prefetch(
    frames: Iterator[VideoFrame | None], queue_size: int = _QUEUE_SIZE
) -> Generator[VideoFrame, None, None]:
    """Run an iterator in a thread of its own, some frames ahead, and yield its frames.

    The iterator yields None for a frame that is not needed. It is skipped, and gives the thread a moment to stop when
    the caller has closed the generator.
    """
    waiting: queue.Queue[_Item] = queue.Queue(queue_size)
    stopped = threading.Event()

    def put(item: _Item) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.2)
                return True
        return False

    def run() -> None:
        try:
            for frame in frames:
                if stopped.is_set() or (frame is not None and not put(frame)):
                    return
            put(None)
        except BaseException as error:  # it is raised in the caller's thread
            put(error)

    thread = threading.Thread(target=run, name="decode", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def upscale_frames(
    frames: Iterator[VideoFrame | None], upscale: Callable[[VideoFrame], VideoFrame], workers: int
) -> Generator[VideoFrame, None, None]:
    """Yield the upscaled frames in order; `workers` threads upscale, and another one decodes ahead (see `prefetch`)."""
    pending: collections.deque[Future[VideoFrame]] = collections.deque()
    opencv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # each worker is a thread already
    decoded = prefetch(frames)
    pool = ThreadPoolExecutor(workers, "upscale")
    try:
        for frame in decoded:
            pending.append(pool.submit(upscale, frame))
            if len(pending) >= workers + _QUEUE_SIZE:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        decoded.close()
        cv2.setNumThreads(opencv_threads)
