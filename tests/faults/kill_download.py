"""Kill a download at random byte positions, and check that almost nothing is fetched twice.

    PYTHONPATH=tests/support python tests/faults/kill_download.py [--kills 50] [--megabytes 512] [--seed 0]

A server on this machine sends a random file in parallel parts. At certain numbers of bytes it kills the downloading
process (kill -9). The last run is not killed. Then the file must be complete, it must never have had its final name
before, and at most 2% of its bytes may have been sent more than once; bytes on their way when a process died count too.
The server sends 80 MB/s, like a network that is slower than the machine: otherwise megabytes would wait in the socket.
The exit code is 1 if a check fails.
"""

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from server import FileServer, serve_files

MAX_SENT_TWICE = 0.02
BYTES_PER_S = 80e6
NAME = "large.bin"


class Killer:
    """Kill the running process each time the server has sent one of the given numbers of bytes.

    Args:
        server: the server to watch.
        positions: numbers of bytes, in order.
    """

    def __init__(self, server: FileServer, positions: list[int]) -> None:
        self.positions, self.sent = positions, 0
        self.process: subprocess.Popen[bytes] | None = None
        self._due = 0.0
        self._lock = threading.Lock()
        server.sending = self.sending

    def sending(self, count: int) -> None:
        """Count bytes that the server is about to send, and slow it down; the server calls this."""
        with self._lock:
            self.sent += count
            if self.process and self.positions and self.sent >= self.positions[0]:
                process, self.process = self.process, None
                self.positions.pop(0)
                process.kill()
                process.wait()  # so that nothing more is sent to a dead process
            now = time.monotonic()
            self._due = max(self._due, now) + count / BYTES_PER_S
            wait_s = self._due - now
        time.sleep(wait_s)


def main(argv: list[str]) -> int:
    """Run the checks, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    chance = random.Random(options.seed)
    content = chance.randbytes(1 << 20) * options.megabytes
    positions = sorted(chance.randrange(int(len(content) * 0.98)) for _ in range(options.kills))
    with tempfile.TemporaryDirectory() as scratch, serve_files({f"/{NAME}": content}) as server:
        root, killer, kills = Path(scratch), Killer(server, positions), 0
        (root / "catalog").mkdir()
        (root / "catalog" / "Large.toml").write_text(
            'name = "Large"\nkind = "archives"\ntitle = "t"\nlicense = "l"\n[[files]]\n'
            f'name = "{NAME}"\nurls = ["{server.url}/{NAME}"]\nbytes = {len(content)}\n'
            f'sha256 = "{hashlib.sha256(content).hexdigest()}"\n'
        )
        command = [sys.executable, "-m", "luigi", "--module", "tasks", "Download", "--dataset", "Large"]
        command += ["--store-root", str(root / "store"), "--store-catalog", str(root / "catalog")]
        while True:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            killer.process = process
            code = process.wait()
            there = list((root / "store" / "downloads").glob(f"Large-*/{NAME}"))
            if code == 0:
                break
            kills += 1
            if code != -signal.SIGKILL or there:
                print(
                    f"kill_download: exit code {code}, files under the final name: {there}", file=sys.stderr
                )
                return 1
        whole = there[0].read_bytes() == content
        print(f"{kills} kills of {options.megabytes} MB: complete {whole}, {server.twice:.2%} sent twice")
        return 0 if whole and kills == options.kills and server.twice <= MAX_SENT_TWICE else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
