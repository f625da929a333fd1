"""Decode, upscale and encode at the same time: one thread decodes, several upscale, and the caller's thread encodes.

The queues between them are bounded, so memory depends on the size of a frame and not on the length of the video. Each
thread notes for a watchdog what it does. All threads are daemons: one that is stuck in native code can be left behind.
"""

import collections
import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, InvalidStateError
from typing import TypeAlias

import cv2
from av.video.frame import VideoFrame

from data.processes.watchdog import Watchdog

_QUEUE_SIZE = 4
"""Frames that may wait after decoding and, beyond one for each worker, after upscaling."""

_Item: TypeAlias = "VideoFrame | BaseException | None"
"""A decoded frame, the error that ended decoding, or None for the end."""
_Job: TypeAlias = "tuple[Future[VideoFrame], VideoFrame] | None"
"""A frame to upscale and its result, or None for the end."""


def prefetch(
    frames: Iterator[VideoFrame | None], watchdog: Watchdog, queue_size: int = _QUEUE_SIZE
) -> Generator[VideoFrame, None, None]:
    """Run an iterator in a thread of its own, some frames ahead, and yield its frames.

    The iterator yields None for a frame that is not needed. It is skipped, and gives the thread a moment to stop when
    the caller has closed the generator.
    """
    waiting: queue.Queue[_Item] = queue.Queue(queue_size)
    stopped = threading.Event()

    def fail(error: BaseException) -> None:
        with contextlib.suppress(queue.Full):  # then the caller is not waiting for it
            waiting.put_nowait(error)

    thread = threading.Thread(
        target=_decode_into, args=(waiting, frames, stopped, watchdog), name="decode", daemon=True
    )
    watchdog.on_stuck.append(fail)
    try:
        thread.start()  # Ctrl+C may come before it returns
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        watchdog.join([thread])


def _decode_into(
    waiting: "queue.Queue[_Item]",
    frames: Iterator[VideoFrame | None],
    stopped: threading.Event,
    watchdog: Watchdog,
) -> None:
    """Put the frames that are needed into the queue, then None or the error; stop when the caller has."""

    def put(item: _Item) -> bool:
        watchdog.note("waiting for the model", waits=True)
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.2)
                return True
        return False

    try:
        watchdog.note("decoding frame 1")
        for number, frame in enumerate(frames, 1):
            if stopped.is_set() or (frame is not None and not put(frame)):
                return
            watchdog.note(f"decoding frame {number + 1}")
        put(None)
    except BaseException as error:  # it is raised in the caller's thread
        put(error)
    finally:
        watchdog.leave()


def upscale_frames(
    frames: Iterator[VideoFrame | None],
    upscale: Callable[[VideoFrame], VideoFrame],
    workers: int,
    watchdog: Watchdog,
) -> Generator[VideoFrame, None, None]:
    """Yield the upscaled frames in order; `workers` threads upscale, and another one decodes ahead (see `prefetch`).

    Raises:
        UserError: nothing has moved in any thread for too long, see `Watchdog`.
    """
    pending: collections.deque[Future[VideoFrame]] = collections.deque()
    opencv_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # each worker is a thread already
    with watchdog:
        decoded, pool = prefetch(frames, watchdog), _Workers(upscale, workers, watchdog)

        def fail(error: BaseException) -> None:
            for future in list(pending):
                _fail(future, error)

        watchdog.on_stuck.append(fail)
        try:
            watchdog.note("waiting for a decoded frame", waits=True)
            for frame in decoded:
                pending.append(pool.submit(frame))
                if len(pending) >= workers + _QUEUE_SIZE:
                    yield from _next_result(pending, watchdog)
                watchdog.note("waiting for a decoded frame", waits=True)
            while pending:
                yield from _next_result(pending, watchdog)
        finally:
            watchdog.note("waiting for the other threads to stop", waits=True)
            decoded.close()
            for future in pending:
                future.cancel()
            pool.stop()
            watchdog.leave()
            cv2.setNumThreads(opencv_threads)


def _next_result(
    pending: collections.deque[Future[VideoFrame]], watchdog: Watchdog
) -> Generator[VideoFrame, None, None]:
    """Yield the oldest result once it is there; what the caller does with it is the encoding."""
    watchdog.note("waiting for an upscaled frame", waits=True)
    frame = pending[0].result()
    watchdog.check()
    pending.popleft()
    watchdog.note(f"encoding {_name(frame)} or writing its segment")
    yield frame


class _Workers:
    """Threads that upscale. They are daemons, unlike those of ThreadPoolExecutor, which Python waits for at its end."""

    def __init__(self, upscale: Callable[[VideoFrame], VideoFrame], count: int, watchdog: Watchdog) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._upscale, self._watchdog = upscale, watchdog
        self._threads = [
            threading.Thread(target=self._run, name=f"upscale {number + 1}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, frame: VideoFrame) -> "Future[VideoFrame]":
        """Have a frame upscaled."""
        future: Future[VideoFrame] = Future()
        self._jobs.put((future, frame))
        return future

    def stop(self) -> None:
        """Wait until the threads have ended; frames whose future is cancelled are not begun."""
        for _ in self._threads:
            self._jobs.put(None)
        self._watchdog.join(self._threads)

    def _run(self) -> None:
        self._watchdog.note("waiting for a decoded frame", waits=True)
        while (job := self._jobs.get()) is not None:
            future, frame = job
            if not future.cancelled():
                self._watchdog.note(f"upscaling {_name(frame)}")
                try:
                    upscaled = self._upscale(frame)
                except BaseException as error:  # it is raised in the caller's thread
                    _fail(future, error)
                else:
                    with contextlib.suppress(
                        InvalidStateError
                    ):  # cancelled, or the watchdog has given it an error
                        future.set_result(upscaled)
                    del upscaled
                self._watchdog.note("waiting for a decoded frame", waits=True)
            del job, future, frame  # no frame stays in memory while this thread waits
        self._watchdog.leave()


def _fail(future: "Future[VideoFrame]", error: BaseException) -> None:
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)


def _name(frame: VideoFrame) -> str:
    return "a frame" if frame.time is None else f"the frame at {frame.time:.3f} s"
