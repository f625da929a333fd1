"""Pack a dataset with the templates of deploy/slurm on a real Slurm of one host, and compare the bytes.

    PYTHONPATH=.:tests/support python tests/faults/slurm.py

slurmctld and slurmd run on the loopback address with a node of many pretended cores, munged is theirs. The dataset is
planned, packed by an array of eight parts and finished by `pack-dataset.sh`. Two parts are killed (kill -9) amid their
first shard: one is put back into the queue as after the death of a node, the other fails, and the job that finishes
packs what it has left. The exit code is 1 if a byte differs or a job is lost; 0 with a word where Slurm is missing or
does not start.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
from commands import REPOSITORY, files, luigi
from images import textured

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
PARTS = 8
OPTIONS = ["--crops-size-px", "128", "--crops-crops-per-shard", "20", "--crops-validation-fraction", "0.1"]
START_S, END_S = 30, 300
CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={scratch}/munge.socket
StateSaveLocation={scratch}/state
SlurmdSpoolDir={scratch}/spool
SlurmctldPidFile={scratch}/slurmctld.pid
SlurmdPidFile={scratch}/slurmd.pid
SlurmctldLogFile={scratch}/slurmctld.log
SlurmdLogFile={scratch}/slurmd.log
SlurmctldPort=26817
SlurmdPort=26818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=localhost CPUs=64 RealMemory=100000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
FACTORY = """#!/bin/bash
# The first start of parts 2 and 3 is killed amid a shard. Part 2 is put back into the queue first.
export PYTHONPATH={repository}:{repository}/tests/support
for part in 2 3; do
    if [[ " $* " == *" --part $part/{parts} "* ]] && mkdir {scratch}/killed-$part 2>/dev/null; then
        export DISTURB_WHEN=amid DISTURB_BY='kill -9 $PPID'
        [[ $part == 2 ]] && scontrol requeue "$SLURM_JOB_ID"
        exec {python} -m luigi --module disturbed "$@"
    fi
done
exec {python} -m tasks.cli "$@"
"""


class FaultError(Exception):
    """A check failed."""


@contextlib.contextmanager
def slurm(scratch: Path) -> Iterator[str]:
    """Start Slurm, and stop what was started at the end; yield why it does not run here, or nothing."""
    (scratch / "slurm.conf").write_text(CONFIGURATION.format(scratch=scratch))
    for folder in ("state", "spool"):
        (scratch / folder).mkdir()
    (scratch / "munge.key").write_bytes(os.urandom(128))
    (scratch / "munge.key").chmod(0o400)
    scratch.chmod(0o755)
    os.environ |= {"SLURM_CONF": str(scratch / "slurm.conf")}
    names = {
        "socket": "munge.socket",
        "key-file": "munge.key",
        "pid-file": "munge.pid",
        "log-file": "munge.log",
    }
    munge = [f"--{name}={scratch / file}" for name, file in names.items()]
    started = []
    try:
        for command in (
            ["munged", "--foreground", "--force", *munge, f"--seed-file={scratch / 'munge.seed'}"],
            ["slurmctld", "-D"],
            ["slurmd", "-D", "-N", "localhost"],
        ):
            with open(scratch / f"{command[0]}.out", "w") as log:
                started.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
            time.sleep(0.5)
        yield _wait_for_node(scratch)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def _wait_for_node(scratch: Path) -> str:
    deadline, state = time.monotonic() + START_S, ""
    while time.monotonic() < deadline:
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
        state = done.stdout.strip() or done.stderr.strip()
        if state == "idle":
            return ""
        time.sleep(0.2)
    logs = [
        line
        for name in ("slurmctld", "slurmd")
        for line in (scratch / f"{name}.out").read_text().splitlines()
    ]
    return f"its node is {state!r}; {' / '.join(logs[-3:])}"


def run_jobs(scratch: Path, photos: Path) -> None:
    """Submit the three steps, and wait until no job is left."""
    (scratch / "bin").mkdir()
    factory = scratch / "bin" / "sr-factory"
    factory.write_text(
        FACTORY.format(repository=REPOSITORY, python=sys.executable, scratch=scratch, parts=PARTS)
    )
    factory.chmod(0o755)
    os.environ["PATH"] = f"{scratch / 'bin'}:{os.environ['PATH']}"
    command = [str(REPOSITORY / "deploy" / "slurm" / "pack-dataset.sh"), str(photos), str(PARTS), *OPTIONS]
    done = subprocess.run(
        [*command, "--store-root", str(scratch / "slurm")],
        cwd=scratch,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FaultError(done.stderr)
    print(done.stdout.strip(), flush=True)
    deadline = time.monotonic() + END_S
    while subprocess.run(["squeue", "-h"], capture_output=True, check=True).stdout:
        if time.monotonic() > deadline:
            raise FaultError(subprocess.run(["squeue"], capture_output=True, text=True, check=True).stdout)
        time.sleep(0.5)


def check(scratch: Path, photos: Path) -> str:
    """Pack with and without Slurm; return what was found, in words."""
    made = luigi(scratch / "one", "MakeCrops", "--dataset", str(photos), *OPTIONS, "--workers", "2")
    if made.returncode:
        raise FaultError(made.stderr)
    run_jobs(scratch, photos)
    one, by_slurm = files(scratch / "one"), files(scratch / "slurm")
    logs = "".join(path.read_text() for path in sorted(scratch.glob("sr-*.log")))
    different = sorted(name for name in one.keys() | by_slurm.keys() if one.get(name) != by_slurm.get(name))
    if different:
        raise FaultError(f"these files differ: {', '.join(different[:10])}\n{logs[-3000:]}")
    if not all((scratch / f"killed-{part}").exists() for part in (2, 3)):
        raise FaultError(f"no part was killed\n{logs[-3000:]}")
    shards = len([name for name in by_slurm if name.endswith(".tar")])
    return f"{shards} shards packed by {PARTS} jobs of Slurm, two killed: the same byte for byte"


def main() -> int:
    """Run the check, and return the exit code."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        print(f"slurm: nothing was tried: {', '.join(missing) or 'root'} is missing")
        return 0
    scratch, begun = Path(tempfile.mkdtemp(prefix="slurm-")), time.monotonic()
    photos = scratch / "photos"
    photos.mkdir()
    for number in range(16):
        cv2.imwrite(str(photos / f"{number:03}.png"), textured(number, 500 + number * 10, 700))
    with slurm(scratch) as fault:
        if fault:
            print(f"slurm: nothing was tried: Slurm does not start here: {fault}")
            return 0
        try:
            print(f"{check(scratch, photos)} ({time.monotonic() - begun:.0f} s)")
        except FaultError as error:
            print(f"slurm: {error}\nStores and logs are kept in {scratch}", file=sys.stderr)
            return 1
    shutil.rmtree(scratch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
