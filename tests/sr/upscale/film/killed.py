"""Runs upscale_film and kills itself (kill -9) when the second segment begins: killed.py SOURCE OUTPUT STORE."""

import os
import signal
import sys
from pathlib import Path

from sr.upscale.film import upscale_film
from sr.upscale.film.settings import FilmSettings

begun = 0


class Encoder(upscale_film.SegmentEncoder):
    def __init__(self, *arguments) -> None:
        global begun
        begun += 1
        if begun == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        super().__init__(*arguments)


if __name__ == "__main__":
    upscale_film.SegmentEncoder = Encoder
    source, output, store = map(Path, sys.argv[1:])
    settings = FilmSettings(preset="ultrafast", segment_s=0.7)
    upscale_film.upscale_film(source, output, store, "bicubic", settings)
