"""The tasks, with a thread that sticks at a video's frame number 40: for `luigi --module stuck_video`."""

import ctypes

from data.processes import watchdog
from sr.upscale.video.upscale_frame import FrameUpscaler
from tasks import *  # noqa: F403  (luigi finds the tasks in the module that it is given)

_upscale, _frames = FrameUpscaler.__call__, []
watchdog.JOIN_S = 0.1
watchdog.GUARD_FACTOR = 1000  # a machine that is slow at this moment must not be taken for stuck


def _sticks(*given):
    _frames.append(None)
    mutex = ctypes.create_string_buffer(64)  # zeros: an unlocked pthread_mutex_t
    for _ in range(2 if len(_frames) == 40 else 0):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
    return _upscale(*given)


FrameUpscaler.__call__ = _sticks
