"""Train over two hosts, and check that whatever happens to one of them ends all within a minute, in words.

    PYTHONPATH=tests/support python tests/faults/training_hosts.py [--steps 240] [--launchers ssh,pdsh] [--keep]

Hosts are network, name, process and mount namespaces of this machine with an sshd in each (tests/support/ssh_hosts.py).
They train a tiny job with one rank each, started over ssh, by pdsh and by torchrun: the weights, the history and the
last checkpoint must be those of one host with two ranks, bit for bit. Then one run is disturbed again and again: the
process that started it is killed, a rank is killed, a host loses power or its network, has other code, has no store or
says nothing, the same command is started twice. Each time all must end within 60 s, with words that name the host where
a process is left to say them, no process may be left on any host, and an unrelated process with a command line like a
rank's must live. The same command, run once more, must continue. The exit code is 1 if a check fails. Where the
kernel has no such namespaces, or sshd is not installed, the check is skipped, in words.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kill_training import FaultError, differences, saved_step
from namespaces import enter
from selections import SELECTION_HASH, write_selection
from ssh_hosts import SshHosts, dummy, missing_programs

from data.atomic_files import read_json
from data.errors import UserError
from sr.training.job import RunOptions, TrainingJob
from sr.training.launch import train

REPOSITORY = Path(__file__).parents[2]
ENDS_WITHIN_S = 60.0
PATIENCE_S = 900.0
STEPS_PER_EPOCH = 8
DISTURBED_EVERY = 12
"""Steps from one disturbance to the next."""
ENDLESS = 1_000_000
"""Steps of the run that is disturbed."""


def job_of(steps: int) -> TrainingJob:
    return TrainingJob(
        "realtime-x2",
        "../selection/selection.json",
        SELECTION_HASH,
        patch_px=32,
        batch_size=8,
        learning_rate=2e-3,
        warmup_steps=2,
        max_steps=steps,
        steps_per_epoch=STEPS_PER_EPOCH,
        precision="fp32",
    )


def train_here(run_dir: Path, steps: int, launcher: str, hostfile: str) -> int:
    """Train, as TrainModel does; print an error as one line."""
    options = RunOptions(2 if not hostfile else 0, launcher, hostfile, save_every_steps=4)
    try:
        train(job_of(steps), run_dir, options=options)
    except UserError as error:
        print(error, flush=True)
        return 1
    return 0


class Started:
    """The command, on the first host."""

    def __init__(
        self, hosts: SshHosts, run_dir: Path, steps: int, launcher: str, host: str = "hosta"
    ) -> None:
        self.log = hosts.scratch / f"{run_dir.name}-{host}.txt"
        hostfile = hosts.scratch / "hostfile" if launcher in ("ssh", "pdsh") else ""
        command = [sys.executable, __file__, "--train", run_dir, str(steps), launcher, str(hostfile)]
        variables = hosts.environment() | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                hosts.inside(host, command), stdout=log, stderr=log, env=variables
            )

    def said(self) -> str:
        """Return the last line that it printed."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def finish(self) -> None:
        """Wait for a good end."""
        wait_until(lambda: self.process.poll() is not None, PATIENCE_S, "the training does not end")
        if self.process.returncode:
            raise FaultError(f"the training failed: {self.said()}")


class Check:
    """The disturbances of one run, and what came of each."""

    def __init__(self, hosts: SshHosts, store: Path, steps: int) -> None:
        self.hosts, self.store, self.steps = hosts, store, steps
        self.run_dir, self.reference = store / "disturbed", store / "one-host"
        self.rows: list[tuple[str, str, str]] = []
        self._dummies = {name: self._start_dummy(name) for name in hosts.names}
        self._started: list[Started] = []

    def _start_dummy(self, name: str) -> subprocess.Popen:
        return subprocess.Popen(self.hosts.inside(name, dummy(self.run_dir)))

    def start(self, launcher: str, run_dir: Path, steps: int = 0) -> Started:
        """Start the command on the first host."""
        self._started.append(Started(self.hosts, run_dir, steps or self.steps, launcher))
        return self._started[-1]

    def start_and_train(self, run_dir: Path | None = None, steps: int = ENDLESS) -> Started:
        """Start the command, and wait until both ranks have trained for some steps, from where they were."""
        run_dir = run_dir or self.run_dir
        first, started = saved_step(run_dir), self.start("ssh", run_dir, steps)
        wait_until(
            lambda: started.process.poll() is not None or saved_step(run_dir) >= first + DISTURBED_EVERY,
            PATIENCE_S,
            "the training makes no progress",
        )
        if started.process.poll() is not None:
            raise FaultError(f"the training ended by itself: {started.said()}")
        return started

    def ranks(self, name: str) -> list[int]:
        """Return the ranks of a host, and what started them there."""
        processes = self.hosts.processes(name)
        return [pid for pid, line in processes.items() if "time.sleep(3600)" not in line]

    def expect_end(self, what: str, started: Started, words: str, names: list[str] | None = None) -> None:
        """Check that the command and all processes on the hosts end in time, with words."""
        begun = time.monotonic()
        names = names or self.hosts.names
        wait_until(
            lambda: started.process.poll() is not None and not any(self.ranks(name) for name in names),
            ENDS_WITHIN_S,
            lambda: f"{what}: something still runs: {[self.hosts.processes(name) for name in names]}",
        )
        took_s = time.monotonic() - begun
        if words not in started.said():
            raise FaultError(f"{what}: {words!r} was not said, but {started.said()!r}")
        for name in names:
            if self._dummies[name].poll() is not None:
                raise FaultError(f"{what}: an unrelated process on {name} was killed")
        said = started.said() if words else "no process is left to say anything"
        self.rows.append((what, f"{took_s:.0f} s", said))
        print(f"{what}: all ended after {took_s:.0f} s. {said}", flush=True)

    def compare(self, what: str, run_dir: Path) -> None:
        """Check that a run has the result of one host."""
        record = read_json(run_dir / "run/ranks.json")
        if record["hosts"] != self.hosts.names or read_json(run_dir / "run/options.json")["world_size"] != 2:
            raise FaultError(f"{what}: the record has other ranks: {record}")
        if differing := differences(self.reference, run_dir, self.steps):
            raise FaultError(f"{what}: the result differs from that of one host in {', '.join(differing)}")
        self.rows.append((what, "", "weights, history and checkpoint as on one host with two ranks"))
        print(f"{what}: the same weights, history and checkpoint as on one host", flush=True)

    def train_undisturbed(self, launchers: list[str]) -> None:
        """Train on one host with two ranks, then on two hosts by each launcher."""
        self.start("auto", self.reference).finish()
        for launcher in launchers:
            if launcher == "pdsh" and not shutil.which("pdsh"):
                print("two hosts, by pdsh: skipped, as it is not installed")
                continue
            run_dir = self.store / launcher
            started = self.start(launcher, run_dir)
            hands = [
                self._start_torchrun(name, run_dir) for name in self.hosts.names if launcher == "torchrun"
            ]
            started.finish()
            for hand in hands:
                hand.wait(PATIENCE_S)
            self.compare(f"two hosts, by {launcher}", run_dir)

    def _start_torchrun(self, name: str, run_dir: Path) -> subprocess.Popen:
        """Start the rank of a host by hand, once the run waits for it."""
        wait_until(lambda: (run_dir / "run/heartbeat").exists(), PATIENCE_S, "nothing waits for torchrun")
        number = self.hosts.names.index(name)
        meet = [
            "--nnodes",
            "2",
            "--node-rank",
            str(number),
            "--master-addr",
            "hosta",
            "--master-port",
            "29400",
        ]
        command = [sys.executable, "-m", "torch.distributed.run", *meet, "-m", "sr.training.train", run_dir]
        variables = self.hosts.environment() | {"PYTHONPATH": str(REPOSITORY), "GLOO_SOCKET_IFNAME": "eth0"}
        with open(self.hosts.scratch / f"torchrun-{name}.txt", "wb") as log:
            return subprocess.Popen(self.hosts.inside(name, command), stdout=log, stderr=log, env=variables)

    def disturb(self) -> None:
        """Do everything to one run that may happen. Each start must continue where the one before was."""
        started = self.start_and_train()
        again = Started(self.hosts, self.run_dir, ENDLESS, "ssh", "hostb")
        wait_until(lambda: again.process.poll() is not None, PATIENCE_S, "the second start is not refused")
        if "Another training is running" not in again.said() or started.process.poll() is not None:
            raise FaultError(f"a second start was not refused: {again.said()}")
        self.rows.append(("the same command started on the other host", "", again.said()))
        self._kill_starter(started)
        self.expect_end("the starting process killed", started, "")
        started = self.start_and_train()
        os.kill(self._rank("hostb"), signal.SIGKILL)
        self.expect_end("a rank killed", started, "On host hostb: Rank 1 was killed by SIGKILL")
        started = self.start_and_train()
        self.hosts.power_off("hostb")
        self._dummies["hostb"].wait()
        self.expect_end("a host without power", started, "hostb", ["hosta"])
        self.hosts.restart("hostb")
        self._dummies["hostb"] = self._start_dummy("hostb")
        started = self.start_and_train()
        self.hosts.hosts["hostb"].cut_off()
        self.expect_end("a host cut off", started, "hostb")
        self.hosts.hosts["hostb"].reconnect()
        self._start_differently()

    def disturb_and_finish(self) -> None:
        """Kill the starting process of a short run, and let the same command bring it to its end."""
        run_dir = self.store / "continued"
        started = self.start_and_train(run_dir, self.steps)
        self._kill_starter(started)
        self.start("ssh", run_dir).finish()
        self.compare("killed, and the same command at once", run_dir)

    def _kill_starter(self, started: Started) -> None:
        lines = self.hosts.processes("hosta")
        for pid in (pid for pid in self.ranks("hosta") if "training_hosts.py --train" in lines[pid]):
            os.kill(pid, signal.SIGKILL)
        started.process.wait()
        started.log.write_text("")

    def _start_differently(self) -> None:
        """Start with other code on a host, without the store on it, and where it is reached but says nothing."""
        other, file = self.hosts.scratch / "other.py", REPOSITORY / "sr/training/losses.py"
        other.write_text(file.read_text() + "\n# Another version.\n")
        self.hosts.run("hostb", "mount", "--bind", other, file)
        started = self.start("ssh", self.run_dir, ENDLESS)
        self.expect_end("other code on a host", started, "On host hostb: The program's files")
        self.hosts.run("hostb", "umount", file)
        self.hosts.run("hostb", "mount", "-t", "tmpfs", "tmpfs", self.store)
        started = self.start("ssh", self.run_dir, ENDLESS)
        self.expect_end("a host without the store", started, "the store is not mounted")
        self.hosts.run("hostb", "umount", self.store)
        mute, file = self.hosts.scratch / "mute.py", REPOSITORY / "sr/distributed/host_program.py"
        mute.write_text("import sys\nsys.stdin.read()\n")
        self.hosts.run("hostb", "mount", "--bind", mute, file)
        started = self.start("ssh", self.run_dir, ENDLESS)
        self.expect_end("a host that says nothing", started, "Host hostb has said nothing")
        self.hosts.run("hostb", "umount", file)

    def _rank(self, name: str) -> int:
        """Return the process of a host's rank itself, not of its supervisor."""
        lines = self.hosts.processes(name)
        rank = "-m sr.training.train"
        return next(pid for pid in self.ranks(name) if rank in lines[pid] and "supervise" not in lines[pid])

    def print_table(self) -> None:
        """Print what came of each disturbance."""
        print("\n| what happens | all ended after | what is said |\n|---|---|---|")
        for row in self.rows:
            print(f"| {' | '.join(row)} |")

    def close(self) -> None:
        """End the unrelated processes, and commands that a failed check has left."""
        for process in (*self._dummies.values(), *(one.process for one in self._started)):
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], object], at_most_s: float, fault: str | Callable[[], str]) -> None:
    """Wait for a condition.

    Raises:
        FaultError: it does not come true.
    """
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > at_most_s:
            raise FaultError(f"{fault if isinstance(fault, str) else fault()} ({at_most_s:.0f} s)")
        time.sleep(0.1)


def main(argv: list[str]) -> int:
    """Run the check, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument(
        "--launchers", default="ssh,pdsh,torchrun", help="train on two hosts by these; may be empty"
    )
    parser.add_argument("--keep", action="store_true", help="keep store and logs")
    options = parser.parse_args(argv)
    if missing := missing_programs():
        print(f"training over hosts: skipped, as these programs are not installed: {missing}")
        return 0
    if reason := enter():
        print(f"training over hosts: skipped, as this machine gives no namespaces with a network: {reason}")
        return 0
    scratch = Path(tempfile.mkdtemp(prefix="training-hosts-"))
    store = scratch / "store"
    write_selection(store, (7, 6), (3,), 64)
    try:
        hosts = SshHosts(scratch, 2)
    except OSError as error:
        print(f"training over hosts: skipped: {error}")
        return 0
    (scratch / "hostfile").write_text("".join(f"{name} slots=1\n" for name in hosts.names))
    check = Check(hosts, store, options.steps)
    try:
        check.train_undisturbed(options.launchers.split(",") if options.launchers else [])
        check.disturb()
        check.disturb_and_finish()
        check.print_table()
    except FaultError as fault:
        print(f"training over hosts: {fault}\nStore and logs are kept in {scratch}", file=sys.stderr)
        return 1
    finally:
        check.close()
        hosts.close()
    if not options.keep:
        shutil.rmtree(scratch)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        sys.exit(train_here(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]))
    sys.exit(main(sys.argv[1:]))
