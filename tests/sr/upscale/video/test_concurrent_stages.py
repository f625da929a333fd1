"""Stages in threads: they stop with the caller, their errors arrive there, and one that sticks is named."""

import itertools
import threading

import av
import pytest

from data.errors import UserError
from data.processes.watchdog import Watchdog
from sr.upscale.video import concurrent_stages
from sr.upscale.video.concurrent_stages import prefetch, upscale_frames


def test_decoding_stops_with_the_caller_while_frames_are_skipped():
    """A resumed run skips the frames that it has already; Ctrl+C stops it at once."""
    passed = itertools.count()
    frames = prefetch((None if next(passed) else "first" for _ in range(10**7)), Watchdog("Work", ""))
    assert next(frames) == "first"
    frames.close()
    assert next(passed) < 10**7


def test_errors_are_raised_in_the_callers_thread():
    def broken():
        yield None
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        list(prefetch(broken(), Watchdog("Work", "")))


def black_frames(count: int):
    for number in range(count):
        frame = av.VideoFrame(16, 16, "yuv420p")
        frame.pts, frame.time_base = number, 1
        yield frame


@pytest.mark.parametrize("stage", ["decode", "upscale"])
def test_a_stage_that_sticks_ends_the_work_with_an_error_that_names_it(stage, monkeypatch):
    """No time passes in this test until the thread is stuck, and then as much as the watchdog waits for."""
    is_stuck, may_go_on, time_s = threading.Event(), threading.Event(), itertools.count()
    monkeypatch.setattr(Watchdog, "join", lambda self, threads: self.error and may_go_on.set())

    def stick() -> None:
        is_stuck.set()
        may_go_on.wait()

    def frames():
        yield from black_frames(7)
        if stage == "decode":
            stick()

    def upscale(frame):
        if stage == "upscale" and frame.pts == 3:
            stick()
        return frame

    watchdog = Watchdog(
        "Upscaling video.mkv", "Run it again.", clock=lambda: next(time_s), pause=lambda _: is_stuck.wait()
    )
    watchdog.on_stuck.append(lambda _: is_stuck.clear())
    upscaled, delivered = upscale_frames(frames(), upscale, 2, watchdog), []
    doing = {
        "decode": r"'decode' has been decoding frame 8",
        "upscale": r"'upscale \d' has been upscaling the frame at 3.000 s",
    }
    with pytest.raises(UserError, match=rf"video.mkv is stuck: nothing has moved for .*{doing[stage]}"):
        delivered += (frame.pts for frame in upscaled)
    assert may_go_on.is_set(), "the threads were asked to stop"
    is_stuck.set()


def test_threads_of_a_finished_work_have_ended(monkeypatch):
    before = set(threading.enumerate())
    watchdog = Watchdog("Work", "")
    assert [frame.pts for frame in upscale_frames(black_frames(20), lambda frame: frame, 3, watchdog)] == [
        *range(20)
    ]
    assert {one.name for one in set(threading.enumerate()) - before} <= {"watchdog"}


def test_an_error_in_one_stage_reaches_the_caller_once_the_others_have_stopped():
    def broken(frame):
        raise OSError("no memory")

    assert concurrent_stages.cv2.getNumThreads() > 0
    with pytest.raises(OSError, match="no memory"):
        list(upscale_frames(black_frames(20), broken, 2, Watchdog("Work", "")))
