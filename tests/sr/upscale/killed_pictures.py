"""The tasks, and the function below them, killed when the second picture has been placed, before its line is written.

For `luigi --module killed_pictures`; run as a program it enlarges a folder by bicubic.
"""

import os
import signal
import sys
from pathlib import Path

from sr.upscale.journal import Journal
from sr.upscale.pictures import upscale_pictures
from sr.upscalers import load_upscaler
from tasks import *  # noqa: F403  (luigi finds the tasks in the module that it is told)

add = Journal.add


def add_or_die(journal: Journal, line: dict) -> None:
    if "output_sha256" in line and len(journal._finished) == 1:
        with open(journal.path, "ab") as file:
            file.write(b'{"id": "torn')
        os.kill(os.getpid(), signal.SIGKILL)
    add(journal, line)


Journal.add = add_or_die
if __name__ == "__main__":
    source, output, store = map(Path, sys.argv[1:])
    upscale_pictures(source, output, store, load_upscaler("bicubic"))
