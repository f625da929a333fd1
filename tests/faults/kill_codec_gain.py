"""Kill MeasureCodecGain at many moments, and check that its result is the same byte for byte.

    PYTHONPATH=.:tests/support python tests/faults/kill_codec_gain.py [--kills 5] [--seed 0]

A small clip, made here, is measured at four rates with a model in the box, with and without an enhancement layer: once
undisturbed, and once by runs whose main process is killed (kill -9) again and again, at moments spread over the whole
run (see kill_demo.py). After each kill no process may be left. codec-gain.json, the encoded clips, what was measured
and the frames that are shown must be the same; times are in other files. The exit code is 1 if a check fails.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from kill_demo import FaultError, kill_and_compare
from videos import make_video, numbered

COMPARED = (
    "codec-gains/*/codec-gain.json",
    "encoded-clips/*/stream.mkv",
    "encoded-clips/*/point.json",
    "measured-clips/*/measured.json",
    "measured-clips/*/*.png",
)
FRAMES, HEIGHT, WIDTH = 12, 112, 320
RATES = ["--codec", "x264", "--preset", "veryfast", "--crf", "24,28,32,36", "--layers", "4"]


def main(argv: list[str]) -> int:
    """Run the check, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    options = parser.parse_args(argv)
    scratch, begun = Path(tempfile.mkdtemp(prefix="kill-codec-gain-")), time.monotonic()
    clip = make_video(
        scratch / "clip.mkv", lambda number: numbered(number, HEIGHT, WIDTH), FRAMES, options={"crf": "4"}
    )
    task = ["MeasureCodecGain", "--input", str(clip), "--models", "realtime-x2", *RATES]
    try:
        kill_and_compare(
            ["--module", "tasks", *task],
            Path("luigi.cfg"),
            scratch,
            kills=options.kills,
            seed=options.seed,
            compared=COMPARED,
        )
    except FaultError as fault:
        print(f"kill_codec_gain: {fault}\nStores and logs are kept in {scratch}", file=sys.stderr)
        return 1
    shutil.rmtree(scratch)
    print(
        f"{options.kills} kills: codec-gain.json is the same byte for byte ({time.monotonic() - begun:.0f} s)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
