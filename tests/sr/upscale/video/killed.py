"""Runs upscale_video and kills itself (kill -9) at a moment: killed.py MOMENT SOURCE OUTPUT STORE."""

import os
import signal
import sys
from pathlib import Path

from sr.upscale.video import mux, output_file, upscale_video
from sr.upscale.video.settings import VideoSettings


def kill_at(module, name: str, call: int = 1) -> None:
    """Have a call of what stands under a name end the process; the calls before it do what they did."""
    former, calls = getattr(module, name), []

    def counted(*given, **named):
        calls.append(None)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return former(*given, **named)

    setattr(module, name, counted)


MOMENTS = {
    "second segment begun": lambda: kill_at(upscale_video, "SegmentEncoder", 2),
    "joining": lambda: kill_at(mux, "timed_packets"),
    "receipt written": lambda: kill_at(output_file.os, "link"),
    "placed": lambda: kill_at(upscale_video, "write_json"),
    "recorded": lambda: kill_at(upscale_video.shutil, "rmtree"),
}

if __name__ == "__main__":
    MOMENTS[sys.argv[1]]()
    source, output, store = map(Path, sys.argv[2:])
    settings = VideoSettings(preset="ultrafast", segment_s=0.7)
    upscale_video.upscale_video(source, output, store, "bicubic", settings)
