"""The program that starts the ranks of one host and ends them: each under a supervisor, so that none outlives it.

    python -m sr.distributed.host_program RUN_DIR MODULE HOST [--end-with-stdin]

HOST is the host's number in the session. The process that starts the training runs this here, or on other hosts over
ssh or pdsh. Over ssh its standard input is open for as long as the connection is.
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from data.cpu_count import usable_cores
from data.errors import UserError
from data.processes import supervise
from data.processes.parent_death import die_with_supervisor
from sr.distributed.gpus import VISIBLE, find_usable_gpus
from sr.distributed.heartbeat import say_once
from sr.distributed.process_group import ProcessGroup
from sr.distributed.rank_errors import on_this_host, write_error
from sr.distributed.run_files import lock_of, sign_of
from sr.distributed.session import Session, join_session

GRACE_S = 5.0
"""Time for the other ranks to say why they fail, after the first has failed."""


def main(arguments: list[str]) -> int:
    """Run the ranks of this host; return the exit status of the first that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("module")
    parser.add_argument("host", type=int)
    parser.add_argument("--end-with-stdin", action="store_true")
    options = parser.parse_args(arguments)
    die_with_supervisor()
    # Sent to the whole group: the ranks save, and this program waits for them.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        session = join_session(options.run_dir)
        say_once(options.run_dir / sign_of(session.id, options.host), session=session.id)
        environments = rank_environments(session, options.host, os.environ | session.environment)
    except UserError as error:
        write_error(options.run_dir, options.host, on_this_host(error))
        return 1
    stdin_closed = threading.Event()
    if options.end_with_stdin:
        threading.Thread(target=_wait_for_end, args=(stdin_closed,), daemon=True).start()
    first = first_rank(session, options.host)

    def record(number: int, status: int) -> None:
        if status > 128:
            write_error(options.run_dir, first + number, on_this_host(_killed(first + number, status - 128)))

    group = ProcessGroup(GRACE_S, record)
    (options.run_dir / lock_of(0)).parent.mkdir(exist_ok=True)
    for environment in environments:
        lock = options.run_dir / lock_of(int(environment["RANK"]))
        rank = [sys.executable, "-m", options.module, str(options.run_dir)]
        group.start([sys.executable, "-I", supervise.__file__, str(lock), *rank], environment)
    return group.wait(stdin_closed.is_set)


def first_rank(session: Session, host: int) -> int:
    """Return the number of a host's first rank."""
    return sum(one.ranks for one in session.hosts[:host])


def rank_environments(session: Session, host: int, environment: dict[str, str]) -> list[dict[str, str]]:
    """Return the environment of each rank of a host.

    Raises:
        UserError: the host has GPUs, but not one for each rank.
    """
    ranks, first = session.hosts[host].ranks, first_rank(session, host)
    gpus = find_usable_gpus(environment)
    if gpus and len(gpus) < ranks:
        message = f"{ranks} ranks are to train here, but only {len(gpus)} GPUs can be used"
        raise UserError(
            message, "Lower its slots in the hostfile, or set DS_ACCELERATOR=cpu to train on CPUs"
        )
    where = {VISIBLE: ",".join(map(str, gpus[:ranks]))} if gpus else {"DS_ACCELERATOR": "cpu"}
    common = {
        "WORLD_SIZE": str(session.world_size),
        "LOCAL_WORLD_SIZE": str(ranks),
        "OMP_NUM_THREADS": environment.get("OMP_NUM_THREADS", str(max(1, usable_cores() // ranks))),
        "PYTHONUNBUFFERED": "1",
    }
    # These may be of an outer program that placed this one as a rank.
    inherited = {
        name: value for name, value in environment.items() if name not in ("MASTER_ADDR", "MASTER_PORT")
    }
    return [
        inherited | common | where | {"RANK": str(first + local), "LOCAL_RANK": str(local)}
        for local in range(ranks)
    ]


def _killed(rank: int, number: int) -> UserError:
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    why = "memory may have run out: the kernel's log says so" if number == signal.SIGKILL else "see the log"
    message = f"Rank {rank} was killed by {name} ({why})"
    return UserError(message, "The same command continues from the last checkpoint")


def _wait_for_end(closed: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    closed.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
