"""Check that no process needs more than 500 MB to crop images of 8192 x 8192 pixels.

    PYTHONPATH=tests/support python tests/faults/memory.py [--limit-mb 500]

A folder with a PNG and a JPEG of that size, and small images, is cropped by the public command: with one worker, where
the packer has a worker process for each core, and with two, where each task packs in its own process. Printed is the
peak resident memory of the largest process of each run, shared memory included. The exit code is 1 if it exceeds the
limit.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from images import textured

TILE_PX, TILES = 1024, 8
SMALL = 6


def fill(folder: Path) -> None:
    """Write the images."""
    tiles = [textured(seed, TILE_PX, TILE_PX) for seed in range(TILES)]
    rows = [np.hstack([tiles[(3 * row + column) % TILES] for column in range(TILES)]) for row in range(TILES)]
    large = np.vstack(rows)
    cv2.imwrite(str(folder / "large.png"), large)
    cv2.imwrite(str(folder / "large.jpg"), large, [cv2.IMWRITE_JPEG_QUALITY, 95])
    for number in range(SMALL):
        cv2.imwrite(str(folder / f"small{number}.png"), textured(TILES + number, 600, 800))


def peak_bytes(command: list[str]) -> int:
    """Run a command; return the peak resident memory of its largest process.

    Raises:
        CalledProcessError: it failed.
    """
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_maxrss * 1024


def main(argv: list[str]) -> int:
    """Measure, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit-mb", type=float, default=500)
    options = parser.parse_args(argv)
    peaks_mb = []
    with tempfile.TemporaryDirectory(prefix="memory-") as scratch:
        folder = Path(scratch) / "photos"
        folder.mkdir()
        # In another process: a child's peak memory includes what its parent held when it was forked.
        filler = multiprocessing.Process(target=fill, args=(folder,))
        filler.start()
        filler.join()
        for workers in (1, 2):
            command = [
                sys.executable,
                "-m",
                "luigi",
                "--module",
                "tasks",
                "MakeCrops",
                "--dataset",
                str(folder),
            ]
            command += ["--workers", str(workers), "--store-root", f"{scratch}/{workers}"]
            peaks_mb.append(peak_bytes(command) / 1e6)
            print(f"--workers {workers}: peak of the largest process: {peaks_mb[-1]:.0f} MB", flush=True)
    return int(max(peaks_mb) > options.limit_mb)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
