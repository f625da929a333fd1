"""Train the demo from a bucket whose server fails, and compare the weights with a training from the local store.

    PYTHONPATH=tests/support python tests/faults/bucket.py [--steps 20] [--every 9] [--limit-s 1200]

The selection of the demo is made, published to a real S3 server (moto's) and trained on from there, in an empty store.
Every few requests the server answers 500 or 503 or drops the connection. The same steps are trained from the first
store. Both runs must give the same weights; what is half published must be refused; no output shows the credentials. A
command that does not end within the limit fails the check, with what it printed last.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from buckets import BUCKET, CREDENTIALS, FaultyProxy, serve_bucket

ROOT = Path(__file__).parents[2]
URL = f"s3://{BUCKET}/demo"


class FaultError(Exception):
    """The bucket was not used as it should be."""


class Commands:
    """Runs tasks with the demo's settings, and keeps what they print.

    Args:
        endpoint_url: of the S3 server.
        limit_s: for each command.
    """

    def __init__(self, endpoint_url: str, limit_s: float) -> None:
        self.printed = ""
        self._endpoint_url, self._limit_s = endpoint_url, limit_s

    def run(self, store: Path, *arguments: str, exit_code: int = 0) -> str:
        """Run a task in a store; return what it prints."""
        command = [sys.executable, "-m", "luigi", "--module", "tasks", *arguments, "--store-root", str(store)]
        environment = os.environ | CREDENTIALS | {"LUIGI_CONFIG_PATH": str(ROOT / "luigi.demo.cfg")}
        command += ["--remote-endpoint-url", self._endpoint_url]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=self._limit_s
            )
        except subprocess.TimeoutExpired as error:
            last = (error.stderr or b"").decode(errors="replace")[-500:]
            message = f"{arguments[0]} did not end within {self._limit_s:.0f} s; it printed last: {last}"
            raise FaultError(message) from None
        self.printed += done.stdout + done.stderr
        if done.returncode != exit_code:
            raise FaultError(f"{arguments[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout + done.stderr


def try_all(proxy: FaultyProxy, scratch: Path, options: argparse.Namespace) -> None:
    """Make, publish, train twice, compare.

    Raises:
        FaultError: something is not as it should be.
    """
    steps = options.steps
    commands, here, there = Commands(proxy.url, options.limit_s), scratch / "here", scratch / "there"
    limits = ["--training-max-steps", str(steps), "--training-steps-per-epoch", str(steps)]
    commands.run(here, "SelectSamples")
    (selection,) = (here / "selections").iterdir()
    kinds = itertools.cycle(["500", "cut", "503"])
    numbers = itertools.count(1)
    proxy.fault = lambda method, path: next(kinds) if next(numbers) % options.every == 0 else None
    begun = time.monotonic()
    commands.run(here, "PublishDataset", "--result", str(selection), "--url", URL, "--read-back")
    url = f"{URL}/selections/{selection.name}"
    print(f"published in {time.monotonic() - begun:.1f} s, {len(proxy.seen)} requests", flush=True)
    begun = time.monotonic()
    commands.run(there, "TrainModel", "--selection-url", url, *limits)
    print(f"trained {steps} steps from the bucket in {time.monotonic() - begun:.1f} s", flush=True)
    commands.run(here, "TrainModel", *limits)
    weights = [
        json.loads(next((store / "runs").glob("*/training.json")).read_text())["weights_sha256"]
        for store in (here, there)
    ]
    if weights[0] != weights[1]:
        raise FaultError("the training from the bucket gave other weights")
    print("the same weights as from the local store", flush=True)
    proxy.fault = lambda method, path: "403" if path.endswith(f"{selection.name}/selection.json") else None
    refused = commands.run(scratch / "third", "FetchDataset", "--url", url, exit_code=30)
    if "refuses access" not in refused:
        raise FaultError("missing rights were not named")
    if CREDENTIALS["AWS_SECRET_ACCESS_KEY"] in commands.printed:
        raise FaultError("the secret key was printed")
    print("missing rights are named, and no credentials were printed")


def main(argv: list[str]) -> int:
    """Parse the command line and try; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--every", type=int, default=9, help="one request of so many fails")
    parser.add_argument("--limit-s", type=float, default=1200.0, help="longest time of a command, seconds")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="bucket-") as scratch, serve_bucket() as proxy:
        try:
            try_all(proxy, Path(scratch), options)
        except FaultError as error:
            print(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
