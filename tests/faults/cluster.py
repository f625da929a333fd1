"""Check that hosts which share one luigid and one store make a dataset together, whatever happens to each of them.

    PYTHONPATH=tests/support python tests/faults/cluster.py [--shards 200] [--fast] [--keep]

Hosts are namespaces of this machine (tests/support/namespaces.py), with one store and one TMPDIR. Four pack the same
dataset: one is killed (kill -9) inside a shard, one is frozen, one is cut off from the network, one comes late. luigid
is killed, too, and started again without its state. Every host that lives must end with exit code 0, the dataset must
have the bytes that one machine gives it, no file of a finished shard may be written again, and what the killed host had
begun must be taken up within 30 s. A host with another crop size and one without the store must be refused in one line.
The exit code is 1 if a check fails. Where the kernel has no such namespaces the check is skipped, in words.
"""

import argparse
import configparser
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from images import textured
from kill_demo import FaultError, compare
from namespaces import Host, closing_all, enter

REPOSITORY = Path(__file__).parents[2]
PORT = 8082
TAKEN_UP_WITHIN_S = 30
ENDS_WITHIN_S = 600
WORKERS = 2
OPTIONS = ["--crops-size-px", "32", "--crops-downscale-factors", "1", "--crops-crops-per-shard", "1"]


@dataclass(frozen=True)
class Pace:
    """How long things take."""

    shards: int
    shard_s: float
    frozen_s: float
    cut_off_s: float
    disconnect_s: int
    """luigid's worker_disconnect_delay."""


def fill(folder: Path, count: int) -> None:
    """Write images, one shard each."""
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:03}.png"), textured(number, 40, 44))


class Luigid:
    """The scheduler daemon, in this process's network, with the configuration that the project ships."""

    def __init__(self, scratch: Path, pace: Pace) -> None:
        self._state, self._log = scratch / "luigid-state.pickle", scratch / "luigid.log"
        config = configparser.ConfigParser()
        config.read(REPOSITORY / "luigid.cfg")
        config["scheduler"]["state_path"] = str(self._state)
        config["scheduler"]["worker_disconnect_delay"] = str(pace.disconnect_s)
        self._config = scratch / "luigid.cfg"
        with open(self._config, "w") as file:
            config.write(file)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from luigi.cmdline import luigid; luigid()", "--port", str(PORT)],
                env=os.environ | {"LUIGI_CONFIG_PATH": str(self._config)},
                cwd=self._config.parent,
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: self.ask("is_paused") is not None, 30, "luigid does not answer")

    def kill(self) -> None:
        """Kill it, and delete its state."""
        self._process.kill()
        self._process.wait()
        self._state.unlink(missing_ok=True)

    def ask(self, method: str) -> Any:
        """Return the answer to a call without arguments; None while there is none."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{PORT}/api/{method}?data=%7B%7D", timeout=5
            ) as answer:
                return json.loads(answer.read())["response"]
        except OSError:
            return None

    def running(self, host: str) -> set[str]:
        """Return the shards that luigid believes to be packed on a host."""
        workers = self.ask("worker_list") or []
        tasks = [task for one in workers if one.get("host") == host for task in one["running"].values()]
        return {task["params"]["shard"] for task in tasks if "shard" in task["params"]}


class Inodes:
    """Notes the files of each shard when its header appears, and whether they stay."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._seen: dict[Path, dict[Path, int]] = {}

    def look(self) -> int:
        """Note the shards that are finished now; return their number."""
        for header in self._store.glob("crops/*/manifest/*-??????.json"):
            if header not in self._seen:
                self._seen[header] = self._files(header)
        return len(self._seen)

    def has(self, shard: str) -> bool:
        """Return whether a shard was finished at the last look."""
        return any(header.stem == shard for header in self._seen)

    def check(self) -> None:
        """Check that every noted file is still the same one.

        Raises:
            FaultError: one was written again.
        """
        for header, files in self._seen.items():
            if self._files(header) != files:
                raise FaultError(f"files of the finished shard {header.stem} were written again")

    @staticmethod
    def _files(header: Path) -> dict[Path, int]:
        folder, shard = header.parents[1], header.stem
        names = [
            f"shards/{shard}.tar",
            f"index/{shard}.idx",
            f"manifest/{shard}.jsonl",
            f"manifest/{shard}.json",
        ]
        return {folder / name: (folder / name).stat().st_ino for name in names}


def wait_until(condition: Callable[[], object], at_most_s: float, fault: str) -> float:
    """Wait for a condition; return how long it took.

    Raises:
        FaultError: it does not come true.
    """
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > at_most_s:
            raise FaultError(f"{fault} ({at_most_s:.0f} s)")
        time.sleep(0.1)
    return time.monotonic() - begun


class Cluster:
    """The hosts of one check."""

    def __init__(self, scratch: Path, pace: Pace) -> None:
        self.scratch, self.pace = scratch, pace
        self.store, self.photos = scratch / "store", scratch / "photos"
        self.store.mkdir()
        (scratch / "tmp").mkdir()
        self.hosts: list[Host] = []
        self.luigid = Luigid(scratch, pace)
        self.inodes = Inodes(self.store)

    def start(self, name: str, *options: str, empty: tuple[Path, ...] = ()) -> Host:
        """Start a host with the command that all hosts run."""
        number = len(self.hosts) + 1
        command = [*make_crops(self.photos, self.store), "--scheduler-host", f"10.77.{number}.1", *options]
        environment = {
            "SLOW_SHARD_S": str(self.pace.shard_s),
            "TMPDIR": str(self.scratch / "tmp"),
            "LUIGI_CONFIG_PATH": str(REPOSITORY / "luigi.cluster.cfg"),
        }
        host = Host(name, number, command, self.scratch / f"{name}.log", environment, empty)
        self.hosts.append(host)
        return host

    def wait_for_shards(self, fraction: float) -> None:
        """Wait until this share of the shards is finished."""
        count = round(fraction * self.pace.shards)
        wait_until(lambda: self.inodes.look() >= count, ENDS_WITHIN_S, f"there are no {count} shards")

    def kill_inside_shard(self, host: Host) -> None:
        """Kill a host's main process while it packs; check that its work is taken up."""
        main = min(host.pids())
        wait_until(lambda: len(self.luigid.running(host.name)) == WORKERS, 60, f"{host.name} does not pack")
        lost = self.luigid.running(host.name)
        os.kill(main, signal.SIGKILL)
        lost = {shard for shard in lost if not (self.inodes.look() and self.inodes.has(shard))}
        print(f"{host.name}: killed with {', '.join(sorted(lost))} begun", flush=True)
        others = [one for one in self.hosts if one is not host]

        def is_taken_up() -> bool:
            self.inodes.look()
            running = set().union(*(self.luigid.running(one.name) for one in others))
            return all(shard in running or self.inodes.has(shard) for shard in lost)

        took_s = wait_until(is_taken_up, TAKEN_UP_WITHIN_S, f"the work of {host.name} is not taken up")
        print(f"its work was taken up after {took_s:.0f} s", flush=True)

    def check_refused(self, host: Host, words: str) -> None:
        """Check that a host is refused in one line."""
        wait_until(lambda: host.exit_code() is not None, 60, f"{host.name} is not refused")
        lines = host.log.read_text().splitlines()
        if host.exit_code() != 2 or len(lines) != 2 or words not in lines[0]:
            raise FaultError(f"{host.name} was not refused with {words!r}: {lines}")
        print(f"{host.name}: {lines[0]}", flush=True)

    def run(self) -> None:
        """Let it all happen, and check the result."""
        killed, frozen = self.start("killed"), self.start("frozen")
        cut_off = self.start("cut-off")
        self.wait_for_shards(0.05)
        other = self.start("other-size", "--crops-size-px", "36")
        bare = self.start("no-store", empty=(self.store,))
        self.check_refused(other, "[crops] size_px is '36' here and '32' there")
        self.check_refused(bare, "is not mounted here, or empty")
        self.kill_inside_shard(killed)
        self.start("late")
        frozen.send(signal.SIGSTOP)
        thaw_at = time.monotonic() + self.pace.frozen_s
        self.wait_for_shards(0.3)
        cut_off.cut_off()
        reconnect_at = time.monotonic() + self.pace.cut_off_s
        wait_until(lambda: self.inodes.look() and time.monotonic() > thaw_at, ENDS_WITHIN_S, "")
        frozen.send(signal.SIGCONT)
        wait_until(lambda: self.inodes.look() and time.monotonic() > reconnect_at, ENDS_WITHIN_S, "")
        cut_off.reconnect()
        print(f"{self.inodes.look()} shards when all were back", flush=True)
        self.luigid.kill()
        wait_until(lambda: self.inodes.look() < 0 or time.monotonic() > reconnect_at + 5, 60, "")
        self.luigid.start()
        alive = [host for host in self.hosts if host not in (killed, other, bare)]
        wait_until(
            lambda: self.inodes.look() and all(host.exit_code() is not None for host in alive),
            ENDS_WITHIN_S,
            "the hosts do not end",
        )
        for host in alive:
            if host.exit_code() != 0:
                raise FaultError(f"{host.name} ended with exit code {host.exit_code()}")
        self.inodes.check()

    def print_shares(self) -> None:
        """Print how many shards each host made, as it said; the rest is of the killed one."""
        rest = self.pace.shards
        for host in self.hosts:
            for line in host.log.read_text().splitlines():
                if line.startswith("This host made "):
                    made = int(line.split()[3])
                    rest -= made
                    print(f"{host.name}: {made} shards")
        print(f"killed: {rest} shards")


def make_crops(photos: Path, store: Path) -> list[str]:
    """Return the command that every host runs, without the scheduler."""
    luigi = [sys.executable, "-m", "luigi", "--module", "slow_shards", "MakeCrops", "--dataset", str(photos)]
    return [*luigi, *OPTIONS, "--workers", str(WORKERS), "--store-root", str(store)]


def main(argv: list[str]) -> int:
    """Run the check, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int)
    parser.add_argument("--fast", action="store_true", help="60 shards, short pauses, a quick luigid")
    parser.add_argument("--keep", action="store_true", help="keep stores and logs")
    options = parser.parse_args(argv)
    if reason := enter():
        print(f"cluster: skipped, as this machine gives no namespaces with a network: {reason}")
        return 0
    pace = (
        Pace(options.shards or 60, 1.0, 12, 16, 5)
        if options.fast
        else Pace(options.shards or 200, 2.5, 60, 90, 20)
    )
    scratch, begun = Path(tempfile.mkdtemp(prefix="cluster-")), time.monotonic()
    fill(scratch / "photos", pace.shards)
    alone = make_crops(scratch / "photos", scratch / "reference")
    subprocess.run(
        alone, check=True, cwd=REPOSITORY, env=os.environ | {"SLOW_SHARD_S": "0"}, capture_output=True
    )
    cluster = Cluster(scratch, pace)
    try:
        with closing_all(cluster.hosts):
            cluster.run()
        compare(scratch / "reference", cluster.store)
        cluster.print_shares()
    except FaultError as fault:
        print(f"cluster: {fault}\nStore and logs are kept in {scratch}", file=sys.stderr)
        return 1
    finally:
        cluster.luigid.kill()
    if not options.keep:
        shutil.rmtree(scratch)
    print(
        f"{pace.shards} shards by hosts that were killed, frozen, cut off and late: the same bytes as by one machine, "
        f"no finished shard written again ({time.monotonic() - begun:.0f} s)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
