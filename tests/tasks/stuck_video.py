"""The tasks, with a thread that sticks at a video's frame number 40: for `luigi --module stuck_video`."""

import ctypes
import itertools

from data.processes import watchdog
from sr.upscale.video.upscale_frame import FrameUpscaler
from tasks import *  # noqa: F403  (luigi finds the tasks in the module that it is given)

_upscale, _frames, _watchdogs = FrameUpscaler.__call__, itertools.count(1), []
_enter = watchdog.Watchdog.__enter__
watchdog.JOIN_S = 0.1
watchdog.GUARD_FACTOR = 1000  # a machine that is slow at this moment must not be taken for stuck


def _entered(entering):
    _watchdogs.append(entering)
    return _enter(entering)


def _sticks(*given):
    if next(_frames) == 40:
        _watchdogs[0].timeout_s = 0.5  # not before: until then, whatever is slow is not stuck
        mutex = ctypes.create_string_buffer(64)  # zeros: an unlocked pthread_mutex_t
        for _ in range(2):
            ctypes.CDLL(None).pthread_mutex_lock(mutex)
    return _upscale(*given)


FrameUpscaler.__call__ = _sticks
watchdog.Watchdog.__enter__ = _entered
