"""Enlarge a folder by bicubic and be killed when the second picture has been placed, before its line is written."""

import os
import signal
import sys
from pathlib import Path

from sr.upscale.journal import Journal
from sr.upscale.pictures import upscale_pictures
from sr.upscalers import load_upscaler

add = Journal.add


def add_or_die(journal: Journal, line: dict) -> None:
    if "output_sha256" in line and len(journal._finished) == 1:
        with open(journal.path, "ab") as file:
            file.write(b'{"id": "torn')
        os.kill(os.getpid(), signal.SIGKILL)
    add(journal, line)


Journal.add = add_or_die
source, output, store = map(Path, sys.argv[1:])
upscale_pictures(source, output, store, load_upscaler("bicubic"))
