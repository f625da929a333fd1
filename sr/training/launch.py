"""Starts a training run through DeepSpeed's launcher, and ensures that it never outlives the process that started it.

It loads neither torch nor DeepSpeed: the training runs in other processes, which report through files.
"""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import sr
from data.atomic_files import read_json, write_json
from data.cpu_count import usable_cores
from data.errors import UserError
from data.mounts import LACKS_LOCKS, no_locks_error
from data.processes import supervise
from data.progress import Progress, silent
from data.record_json import to_plain
from data.user_paths import expand_home
from sr.models.run_files import JOB
from sr.training.gpus import VISIBLE, find_usable_gpus
from sr.training.job import RunOptions, TrainingJob
from sr.training.rank_errors import clear_errors, read_first_error
from sr.training.run_files import LOCK, LOG, PARENT_LOCK, PLAN, PROGRESS, RECORD, RUN_OPTIONS
from sr.training.settings import check_settings

POLL_EVERY_S = 0.5
LOG_TAIL_LINES = 12
_DEFAULT_OPTIONS = RunOptions()


def train(
    job: TrainingJob,
    run_dir: Path,
    progress: Progress = silent,
    options: RunOptions = _DEFAULT_OPTIONS,
    say: Callable[[str], object] = print,
) -> None:
    """Train a model, resuming from the latest checkpoint in `run_dir`; write training.json at the end.

    If this process dies, even by SIGKILL, the launcher and all ranks die with it. On SIGTERM or Ctrl+C, the ranks
    save a checkpoint first.

    Args:
        job: everything that decides the result.
        run_dir: the run's directory, created if missing. It gets job.json, checkpoints/, tensorboard/, history.jsonl,
            best.safetensors, run/ (options.json, progress.json, log.txt) and training.json.
        progress: called with the number of completed optimizer steps.
        options: how to carry it out.
        say: called with each line of the run's plan: devices, batch, steps, precision, memory and, soon, hours.

    Raises:
        UserError: the job is not valid, or the training failed.
    """
    check_settings(job)
    run_dir = Path(run_dir).resolve()
    (run_dir / "run").mkdir(parents=True, exist_ok=True)
    with _lock_run(run_dir):
        _train(job, run_dir, progress, options, say)


def _train(
    job: TrainingJob, run_dir: Path, progress: Progress, options: RunOptions, say: Callable[[str], object]
) -> None:
    gpus = find_usable_gpus()
    world_size = options.world_size or choose_world_size(job.batch_size, len(gpus))
    if not options.world_size and not options.hostfile and world_size < len(gpus):
        say(f"{world_size} of {len(gpus)} GPUs train: more cannot share a batch of {job.batch_size} evenly.")
    # Each rank has its part of the cores, for its network on a CPU, and for its decoders.
    cores = max(1, usable_cores() // (world_size if not options.hostfile else max(1, len(gpus))))
    num_workers = options.num_workers or cores
    program = ["--module", "--no_local_rank", "sr.training.train", str(run_dir)]
    command = [*_launcher(world_size, gpus, options.hostfile), *program]
    for stale in (RECORD, PROGRESS, PLAN):
        (run_dir / stale).unlink(missing_ok=True)
    clear_errors(run_dir)
    write_json(run_dir / JOB, to_plain(job))
    resolved = dataclasses.replace(options, world_size=world_size, num_workers=num_workers)
    write_json(run_dir / RUN_OPTIONS, to_plain(resolved))
    status, interruption = _run(command, _environment(bool(gpus), cores), run_dir, progress, say)
    if interruption is not None:
        raise interruption
    if not (run_dir / RECORD).is_file():
        raise _failure(run_dir, status)


@contextlib.contextmanager
def _lock_run(run_dir: Path) -> Iterator[None]:
    """Hold a run's directory while the block runs.

    Raises:
        UserError: another training holds it, or one whose parent was killed does not exit.
    """
    with _hold(run_dir, PARENT_LOCK):
        # Our own supervisor will take this one.
        with _hold(run_dir, LOCK):
            pass
        yield


@contextlib.contextmanager
def _hold(run_dir: Path, lock: str) -> Iterator[None]:
    try:
        handle = supervise.take_lock(run_dir / lock)
    except OSError as error:
        raise no_locks_error(run_dir / lock) if error.errno in LACKS_LOCKS else error from error
    if handle is None:
        raise UserError(f"Another training is running in {run_dir}", "Wait for it, or stop it")
    try:
        yield
    finally:
        os.close(handle)


def choose_world_size(batch_size: int, gpus: int) -> int:
    """Return the largest number of ranks, at most one per GPU, that share a batch evenly.

    Without a GPU it is 1.
    """
    return max(number for number in range(1, max(1, gpus) + 1) if batch_size % number == 0)


def _launcher(world_size: int, gpus: list[int], hostfile: str) -> list[str]:
    """Return the launcher's part of the command.

    Raises:
        UserError: there are GPUs, but not one for each rank; or the hostfile does not exist.
    """
    if hostfile:
        # A hostfile says the number of devices of each host.
        where = ["--hostfile", str(_find_hostfile(hostfile))]
    elif gpus:
        if world_size > len(gpus):
            message = f"[training] world_size is {world_size}, but there can be at most {len(gpus)} ranks, one per GPU"
            hint = "Lower it, or set CUDA_VISIBLE_DEVICES to nothing to train on the CPU"
            raise UserError(message, hint)
        where = ["--include", f"localhost:{','.join(map(str, gpus[:world_size]))}"]
    else:
        where = ["--num_accelerators", str(world_size)]
    return [sys.executable, "-m", "deepspeed.launcher.runner", *where, "--master_port", str(_free_port())]


def _find_hostfile(name: str) -> Path:
    """Return the path of DeepSpeed's list of hosts.

    Raises:
        UserError: it does not exist; DeepSpeed would silently train on this host alone.
    """
    path = expand_home(name).resolve()
    if not path.is_file():
        message = f"The hostfile {name} does not exist"
        hint = (
            "Give the path of a file with lines such as: node1 slots=8. Without one, this host trains alone"
        )
        raise UserError(message, hint)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _environment(on_gpus: bool, compute_threads: int) -> dict[str, str]:
    root = str(Path(sr.__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    environment.setdefault("OMP_NUM_THREADS", str(compute_threads))
    if on_gpus:
        # The command names them; the launcher would only count those that the variable shows.
        environment.pop(VISIBLE, None)
    else:
        environment |= {"DS_ACCELERATOR": "cpu"}
    return environment


def _run(
    command: list[str],
    environment: dict[str, str],
    run_dir: Path,
    progress: Progress,
    say: Callable[[str], object] = print,
) -> tuple[int, BaseException | None]:
    """Run the launcher under supervision.

    Returns:
        Its exit status, and the exception that interrupted this process meanwhile, if any.
    """
    lock = run_dir / LOCK
    supervised = [sys.executable, "-I", supervise.__file__, str(lock), *command]
    interruption: BaseException | None = None
    plan = _PlanReader(run_dir / PLAN, say)
    with open(run_dir / LOG, "ab") as log, _raise_on_sigterm():
        process = subprocess.Popen(
            supervised, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            # The record is written last. What the launcher and its ranks do afterward (unloading their libraries, for
            # seconds) is not waited for.
            while process.poll() is None and not (run_dir / RECORD).is_file():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_EVERY_S)
                plan.report()
                _report(run_dir, progress)
        except (KeyboardInterrupt, SystemExit) as error:
            interruption = error
            process.terminate()
            process.wait()
        finally:
            # A closed pipe is the signal for the supervisor to end everything, whatever went wrong here.
            if process.stdin is not None:
                process.stdin.close()
            process.wait()
    return process.returncode, interruption


@contextlib.contextmanager
def _raise_on_sigterm() -> Iterator[None]:
    """Have SIGTERM raise an exception while the block runs, so that the ranks can save, as after Ctrl+C.

    An existing handler decides which exception; by default it is SystemExit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        if callable(before):
            before(number, frame)
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _report(run_dir: Path, progress: Progress) -> None:
    path = run_dir / PROGRESS
    if path.is_file():
        fields = read_json(path)
        progress(fields["done"], fields["total"], fields["note"])


class _PlanReader:
    """Passes on the lines of a run's plan, each once."""

    def __init__(self, path: Path, say: Callable[[str], object]) -> None:
        self._path, self._say, self._said = path, say, 0

    def report(self) -> None:
        """Pass on the lines that are new and complete."""
        if self._path.is_file():
            lines = self._path.read_text().split("\n")[:-1]
            for line in lines[self._said :]:
                self._say(line)
            self._said = len(lines)


def _failure(run_dir: Path, status: int) -> UserError:
    """Return the error that a rank recorded, or else one with the end of the log."""
    if error := read_first_error(run_dir):
        return error
    log = run_dir / LOG
    tail = " | ".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    message = f"The training ended with exit status {status} and wrote no training.json"
    return UserError(message, f"See the log {log}, which ends: {tail}")
