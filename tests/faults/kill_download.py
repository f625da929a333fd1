"""Kill a download's process at random byte positions, and count what is fetched twice.

    PYTHONPATH=tests/support python tests/faults/kill_download.py [--kills 50] [--megabytes 512] [--seed 0]

A server on this machine gives a random file in parallel parts; each time it has sent a certain number of bytes
it kills the process (kill -9) that is fetching. The last run is left alone. The file must then be whole, have been
under its final name only at the end, and at most 2% of its bytes may have been sent more than once: what was on its
way when the process died counts too. The server sends 80 MB a second, as a network does that is slower than the
machine: without that, megabytes would wait in the socket. The exit code is 1 where one of these is not so.
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

from server import FileServer, serving

MOST_TWICE = 0.02
BYTES_A_SECOND = 80e6
NAME = "large.bin"


class Killer:
    """Kills the running process whenever another of the chosen numbers of bytes was sent."""

    def __init__(self, server: FileServer, positions: list[int]) -> None:
        self.positions, self.sent, self.process = positions, 0, None
        self._due = 0.0
        self._lock = threading.Lock()
        server.sending = self.sending

    def sending(self, count: int) -> None:
        """Be told of bytes that were sent."""
        with self._lock:
            self.sent += count
            if self.process and self.positions and self.sent >= self.positions[0]:
                process, self.process = self.process, None
                self.positions.pop(0)
                process.kill()
                process.wait()  # nothing more is sent to a process that only waits to be buried
            now = time.monotonic()
            self._due = max(self._due, now) + count / BYTES_A_SECOND
            wait_s = self._due - now
        time.sleep(wait_s)


def main(argv: list[str]) -> int:
    """Do it, and return the exit code."""
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
    with tempfile.TemporaryDirectory() as scratch, serving({f"/{NAME}": content}) as server:
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
                print(f"kill_download: exit code {code}, under its final name: {there}", file=sys.stderr)
                return 1
        whole = there[0].read_bytes() == content
        print(f"{kills} kills of {options.megabytes} MB: whole {whole}, {server.twice:.2%} sent twice")
        return 0 if whole and kills == options.kills and server.twice <= MOST_TWICE else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
