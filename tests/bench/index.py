"""Index a made tar of tars, as ImageNet's is, and print what it costs.

    python tests/bench/index.py [--inner 200] [--each 500] [--threads 2]

The tar is written into a temporary directory (about 1.3 GB) and removed. It is read once before the clock starts, so
that the disk is not what is measured. Printed: images a second and a second a core, the peak memory of the process
while it indexes, 1,000 random entries read back and compared byte by byte, and that nothing was written but the
index. The exit code is 1 where a limit of `LIMITS` is missed.
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
from pipeline.index import index_source, read_entries, read_record

LIMITS = {"images a second a core": 2000, "peak MB": 400}
_BASES = 40


def base_jpegs() -> list[bytes]:
    """Return some JPEGs of 256 x 256."""
    chance = np.random.default_rng(0)
    coarse = (chance.integers(0, 255, (24, 24, 3), np.uint8) for _ in range(_BASES))
    large = (cv2.resize(one, (256, 256), interpolation=cv2.INTER_CUBIC) for one in coarse)
    noisy = (cv2.add(one, chance.integers(0, 12, one.shape, np.uint8)) for one in large)
    return [cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes() for one in noisy]


def image(bases: list[bytes], number: int) -> bytes:
    """Return a JPEG that no other number gives: its own comment stands behind the start mark."""
    base = bases[number % _BASES]
    comment = f"image {number}".encode()
    return base[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + base[2:]


def write_tar(path: Path, inner: int, each: int) -> None:
    """Write a tar of `inner` tars of `each` images."""
    bases = base_jpegs()
    with tarfile.open(path, "w") as outer:
        for folder in range(inner):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as tar:
                for number in range(each):
                    content = image(bases, folder * each + number)
                    info = tarfile.TarInfo(f"n{folder:08d}_{number}.JPEG")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
            info = tarfile.TarInfo(f"n{folder:08d}.tar")
            info.size = buffer.tell()
            buffer.seek(0)
            outer.addfile(info, buffer)


def index(path: Path, out: Path, threads: int) -> None:
    """Index, and print seconds and peak memory in MB; runs in a process of its own, so that nothing else counts."""
    begun = time.perf_counter()
    index_source(ArchiveSource([path]), "bench", out, least_side_px=16, max_bad_fraction=0, threads=threads)
    duration_s = time.perf_counter() - begun
    status = Path("/proc/self/status").read_text()
    peak_kb = int(status.partition("VmHWM:")[2].split()[0])
    print(duration_s, peak_kb / 1000)


def compare(path: Path, out: Path, each: int) -> int:
    """Read 1,000 random entries back; return how many are not byte-equal to what was written."""
    bases, source = base_jpegs(), ArchiveSource([path])
    chosen = random.Random(0).sample(read_entries(out), 1000)
    wrong = 0
    for entry in chosen:
        folder, number = entry.id.removesuffix(".JPEG").rpartition("/n")[2].split("_")
        content = source.load(entry.locator)
        wrong += content != image(bases, int(folder) * each + int(number))
        wrong += sha256_bytes(content) != entry.sha256
    return wrong


def main(argv: list[str]) -> int:
    """Do it, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inner", type=int, default=200)
    parser.add_argument("--each", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--index", nargs=2, type=Path, metavar=("TAR", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.index:
        index(*options.index, options.threads)
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
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        duration_s, peak_mb = map(float, told)
        totals = read_record(out)["totals"]
        rate = totals["sources"] / duration_s / options.threads
        wrong = compare(path, out, options.each)
        written = sorted(
            one.relative_to(folder).as_posix() for one in Path(folder).rglob("*") if one.is_file()
        )
        print(f"{totals['sources']} images, {path.stat().st_size / 1e9:.2f} GB, {options.threads} threads")
        print(f"{duration_s:.1f} s: {rate * options.threads:.0f} images a second, {rate:.0f} a second a core")
        print(
            f"peak memory {peak_mb:.0f} MB; of 1000 entries read back {wrong} differ; files: {', '.join(written)}"
        )
    whole = totals == {"sources": options.inner * options.each, "rejected": 0}
    kept = rate >= LIMITS["images a second a core"] and peak_mb <= LIMITS["peak MB"]
    return 0 if whole and kept and not wrong and len(written) == 4 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
