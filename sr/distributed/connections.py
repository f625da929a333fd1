"""The program that runs host programs on all hosts of a session over ssh, and ends when the first of them fails.

    python -m sr.distributed.connections RUN_DIR MODULE

A host program ends when its connection does, and the connections end with this program.
"""

import os
import signal
import socket
import sys
from pathlib import Path

from data.errors import UserError
from data.processes.parent_death import die_with_supervisor
from sr.distributed.commands import SSH, host_command, remote_command
from sr.distributed.process_group import ProcessGroup
from sr.distributed.rank_errors import write_error
from sr.distributed.session import join_session

GRACE_S = 5.0
"""Time for the other hosts to say why they fail, after the first has failed."""
_SSH_FAILED, _NOT_EXECUTABLE, _NOT_FOUND = 255, 126, 127


def main(arguments: list[str]) -> int:
    """Run the host programs; return the exit status of the first that failed."""
    run_dir, module = Path(arguments[0]), arguments[1]
    die_with_supervisor()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
    session = join_session(run_dir)

    def record(number: int, status: int) -> None:
        name = session.hosts[number].name
        if status == _SSH_FAILED:
            message = f"Host {name} can't be reached by ssh, or the connection broke: power, network or sshd"
            hint = f"Try: ssh {name} true. It must ask for no password. The log says more"
            write_error(run_dir, number, UserError(message, hint))
        elif status in (_NOT_EXECUTABLE, _NOT_FOUND):
            message = f"Host {name} can't run {sys.executable}"
            write_error(run_dir, number, UserError(message, "Install this program there under the same path"))

    group = ProcessGroup(GRACE_S, record)
    here = {socket.gethostname(), socket.getfqdn()}
    for number, host in enumerate(session.hosts):
        program = host_command(run_dir, module, str(number))
        if host.name in here:
            group.start([*program, "--end-with-stdin"], dict(os.environ))
        else:
            group.start([*SSH, host.name, remote_command(program, ["--end-with-stdin"])], dict(os.environ))
    return group.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
