"""Check that a dataset is the same byte for byte with any number of workers, undisturbed and under kills.

    PYTHONPATH=tests/support python tests/faults/workers.py [--workers 1 2 4 8] [--kills 30] [--seed 0]

For each number of workers the dataset is made twice: without interruption, and by runs whose main process is killed
(kill -9) again and again, at moments spread over the whole run (see kill_demo.py). After each kill no process may be
left, also with one worker, where the packer has worker processes of its own. Every file of every dataset must be the
same byte for byte: shards, indexes, manifests, rejections, dataset.json. The exit code is 1 if a check fails.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from images import textured
from kill_demo import FaultError, compare, kill_and_compare

IMAGES = 120
"""They make about 40 shards. In addition one image is damaged, one is flat, and one file is not an image."""
OPTIONS = ["--crops-size-px", "128", "--crops-crops-per-shard", "120", "--crops-validation-fraction", "0.1"]


def fill(folder: Path, seed: int) -> None:
    """Write the images."""
    folder.mkdir()
    for number in range(IMAGES):
        height, width = 600 + number % 7 * 30, 800 + number % 5 * 40
        cv2.imwrite(str(folder / f"{number:03}.png"), textured(seed + number, height, width))
    cv2.imwrite(str(folder / "flat.png"), np.full((300, 300, 3), 128, np.uint8))
    (folder / "damaged.png").write_bytes((folder / "000.png").read_bytes()[:-1000])
    (folder / "notes.txt").write_text("no image")


def main(argv: list[str]) -> int:
    """Run the checks, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--kills", type=int, default=30, help="kills for each number of workers")
    parser.add_argument("--seed", type=int, default=0, help="seed of the images and of the moments")
    options = parser.parse_args(argv)
    scratch, begun = Path(tempfile.mkdtemp(prefix="workers-")), time.monotonic()
    folder = scratch / "photos"
    fill(folder, options.seed)
    command = ["--module", "tasks", "MakeCrops", "--dataset", str(folder), *OPTIONS]
    references = []
    try:
        for workers in options.workers:
            print(f"{workers} workers:", flush=True)
            (scratch / str(workers)).mkdir()
            reference = kill_and_compare(
                [*command, "--workers", str(workers)],
                Path("luigi.cfg"),
                scratch / str(workers),
                kills=options.kills,
                seed=options.seed + workers,
            )
            references.append(reference)
            compare(references[0], reference)
    except FaultError as fault:
        print(f"workers: {fault}\nStores and logs are kept in {scratch}", file=sys.stderr)
        return 1
    shards = len(list(references[0].glob("crops/*/shards/*.tar")))
    shutil.rmtree(scratch)
    print(
        f"{shards} shards, with {options.workers} workers, undisturbed and under {options.kills} kills each: "
        f"the same byte for byte, no process left behind ({time.monotonic() - begun:.0f} s)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
