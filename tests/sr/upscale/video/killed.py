"""Run upscale_video and kill this process (kill -9) at a moment: killed.py MOMENT SOURCE OUTPUT STORE."""

import os
import signal
import sys
from pathlib import Path

from sr.upscale.video import mux, output_file, upscale_video
from sr.upscale.video.settings import VideoUpscaleSettings


def kill_at(module, name: str, call: int = 1) -> None:
    """Replace a function so that its call number `call` kills the process; earlier calls run as before."""
    original, calls = getattr(module, name), []

    def counted(*given, **named):
        calls.append(None)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*given, **named)

    setattr(module, name, counted)


MOMENTS = {
    "encoding the second segment": lambda: kill_at(upscale_video, "SegmentEncoder", 2),
    "muxing": lambda: kill_at(mux, "retime_packets"),
    "after writing the receipt": lambda: kill_at(output_file.OutputFile, "_move_without_replacing"),
    "after moving the output": lambda: kill_at(upscale_video, "write_json"),
    "after writing the record": lambda: kill_at(upscale_video.shutil, "rmtree"),
}

if __name__ == "__main__":
    MOMENTS[sys.argv[1]]()
    source, output, store = map(Path, sys.argv[2:])
    settings = VideoUpscaleSettings(preset="ultrafast", segment_s=0.7)
    upscale_video.upscale_video(source, output, store, "bicubic", settings)
