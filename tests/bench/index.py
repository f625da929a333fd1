"""Measure the indexing of a generated tar of tars, structured like ImageNet's.

    python tests/bench/index.py [--inner 200] [--each 500] [--threads 2]

The tar (about 1.3 GB) is written to a temporary directory. It is read once before the clock starts, so that the disk is
not measured. Printed are images per second, in total and per core, the peak memory of the indexing process, how many of
1,000 random entries differ when read back, and the files that were written, which must be only the index. The exit code
is 1 if a check fails or a limit in `LIMITS` is not met.
"""

import argparse
import io
import random
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from data.hashing import sha256_bytes
from data.sources.archive import ArchiveSource
from pipeline.index import index_source, read_entries, read_index_record

LIMITS = {"images/s/core": 2000, "peak MB": 400}
_BASES = 40


def make_base_jpegs() -> list[bytes]:
    """Return some JPEGs of 256 x 256 pixels."""
    chance = np.random.default_rng(0)
    coarse = (chance.integers(0, 255, (24, 24, 3), np.uint8) for _ in range(_BASES))
    large = (cv2.resize(one, (256, 256), interpolation=cv2.INTER_CUBIC) for one in coarse)
    noisy = (cv2.add(one, chance.integers(0, 12, one.shape, np.uint8)) for one in large)
    return [cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes() for one in noisy]


def make_image(bases: list[bytes], number: int) -> bytes:
    """Return a JPEG that is unique to a number: it has a comment with the number after the start marker."""
    base = bases[number % _BASES]
    comment = f"image {number}".encode()
    return base[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + base[2:]


def write_tar(path: Path, inner: int, each: int) -> None:
    """Write a tar of `inner` tars of `each` images."""
    bases = make_base_jpegs()
    with tarfile.open(path, "w") as outer:
        for folder in range(inner):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as tar:
                for number in range(each):
                    content = make_image(bases, folder * each + number)
                    info = tarfile.TarInfo(f"n{folder:08d}_{number}.JPEG")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
            info = tarfile.TarInfo(f"n{folder:08d}.tar")
            info.size = buffer.tell()
            buffer.seek(0)
            outer.addfile(info, buffer)


def index(path: Path, out: Path, threads: int) -> None:
    """Index, and print seconds and peak memory in MB. Runs in a separate process, so that nothing else counts."""
    begun = time.perf_counter()
    index_source(ArchiveSource([path]), "bench", out, min_side_px=16, max_bad_fraction=0, threads=threads)
    duration_s = time.perf_counter() - begun
    status = Path("/proc/self/status").read_text()
    peak_kb = int(status.partition("VmHWM:")[2].split()[0])
    print(duration_s, peak_kb / 1000)


def count_differences(path: Path, out: Path, each: int) -> int:
    """Read 1,000 random entries back; return the number of differences from the written bytes."""
    bases, source = make_base_jpegs(), ArchiveSource([path])
    chosen = random.Random(0).sample(read_entries(out), 1000)
    wrong = 0
    for entry in chosen:
        folder, number = entry.id.removesuffix(".JPEG").rpartition("/n")[2].split("_")
        content = source.load(entry.locator)
        wrong += content != make_image(bases, int(folder) * each + int(number))
        wrong += sha256_bytes(content) != entry.sha256
    return wrong


def main(argv: list[str]) -> int:
    """Measure, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inner", type=int, default=200)
    parser.add_argument("--each", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--index", nargs=2, type=Path, metavar=("TAR", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.index:
        index(options.index[0], options.index[1], options.threads)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "whole.tar"), Path(folder, "index")
        write_tar(path, options.inner, options.each)
        with open(path, "rb") as file:
            while file.read(1 << 24):
                pass
        command = [
            sys.executable,
            __file__,
            "--index",
            str(path),
            str(out),
            "--threads",
            str(options.threads),
        ]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        duration_s, peak_mb = map(float, output)
        totals = read_index_record(out)["totals"]
        rate = totals["sources"] / duration_s / options.threads
        wrong = count_differences(path, out, options.each)
        written = sorted(
            one.relative_to(folder).as_posix() for one in Path(folder).rglob("*") if one.is_file()
        )
        print(f"{totals['sources']} images, {path.stat().st_size / 1e9:.2f} GB, {options.threads} threads")
        print(f"{duration_s:.1f} s: {rate * options.threads:.0f} images/s, {rate:.0f} images/s/core")
        print(
            f"peak memory {peak_mb:.0f} MB; {wrong} of 1000 entries differ when read back; files: {', '.join(written)}"
        )
    count = options.inner * options.each
    is_complete = totals == {"images": count, "sources": count, "rejected": 0}
    is_fast = rate >= LIMITS["images/s/core"] and peak_mb <= LIMITS["peak MB"]
    return 0 if is_complete and is_fast and not wrong and len(written) == 4 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
