"""Upscale a short clip of every container, video codec, pixel format, sound and subtitle that PyAV muxes, and compare.

    PYTHONPATH=tests/support python tests/faults/video_matrix.py --check   # or --write

Each clip is made, upscaled with bicubic into another container, and the result held against what FFmpeg alone decodes
of the clip: number and times of the frames, colors, when the sound is heard and its waveform, subtitles. A case must be
right, or refused in words before the work. `--write` writes the tables to docs/reference/video-formats.md, `--check`
compares them with that page. The exit code is 1 after a fault or a difference. It takes 5 minutes on one core.
"""

import argparse
import collections
import difflib
import sys
import tempfile
import time
from pathlib import Path

import av
from matrix_of_videos import (
    Matrix,
    Results,
    codec_cases,
    conversion_cases,
    output_cases,
    pixel_cases,
    run_cases,
    sound_cases,
    subtitle_cases,
)  # fmt: skip
from matrix_page import PAGE, page
from video_cases import COUNTED, FAULT, Bench


def run_all(bench: Bench) -> tuple[Matrix, int]:
    """Run all cases; return their results and the number of faults."""
    matrix = Matrix([], [], [], [], [], [])
    parts: list[tuple[str, Results, object]] = [
        ("outputs", matrix.outputs, output_cases()),
        ("codecs", matrix.codecs, codec_cases()),
        ("pixel formats", matrix.pixels, pixel_cases(bench)),
        ("sound", matrix.sound, sound_cases()),
        ("conversions", matrix.conversions, conversion_cases(bench)),
        ("subtitles", matrix.subtitles, subtitle_cases()),
    ]
    faults = 0
    for name, results, cases in parts:
        begin, kinds = time.monotonic(), collections.Counter()
        for case, outcome in run_cases(bench, cases):
            results.append((case, outcome))
            kinds[outcome.kind] += 1
            if outcome.kind in (FAULT, COUNTED):
                print(f"{outcome.kind}: {case}: {outcome.detail}", flush=True)
        faults += kinds[FAULT]
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
        print(f"{name}: {counts} in {time.monotonic() - begin:.0f} s", flush=True)
    return matrix, faults


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--check", action="store_true", help="compare the tables with the page")
    way.add_argument("--write", action="store_true", help="write the page")
    options = parser.parse_args()
    av.logging.set_level(None)
    with tempfile.TemporaryDirectory() as folder:
        matrix, faults = run_all(Bench(Path(folder)))
    text = page(matrix)
    if options.write:
        PAGE.write_text(text)
    elif options.check and text != PAGE.read_text():
        sys.stdout.writelines(difflib.unified_diff(PAGE.read_text().splitlines(True), text.splitlines(True)))
        print(f"{PAGE} is not what these cases give: run with --write")
        return 1
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
