"""Starts a training run through DeepSpeed's own launcher, and sees that it never outlives who started it.

It loads neither torch nor DeepSpeed: the training is other processes, and what it learns of them it reads
from files.
"""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import sr
from data.atomic_files import read_json, write_json
from data.errors import UserError
from data.processes import supervise
from data.progress import Progress, silent
from data.record_json import to_plain
from data.records import TrainingConduct, TrainingJob
from sr.training.gpus import VISIBLE, usable_gpus
from sr.training.rank_errors import first_told, forget
from sr.training.run_files import CONDUCT, JOB, LOCK, LOG, PROGRESS, RECORD, STARTER_LOCK
from sr.training.settings import check_settings

LOOK_EVERY_S = 0.5
LOG_TAIL_LINES = 12
_LOADER_THREADS_PER_GPU = 8
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""How idle compute threads wait on a CPU, where the environment does not say. The decoders need the same cores, so
they must sleep; but gaps within a step are shorter than waking takes. libgomp spins as often as the count says before
it sleeps, whatever the policy; other runtimes know the policy alone."""
_AS_SUITS = TrainingConduct()


def train(
    job: TrainingJob,
    run_dir: Path,
    progress: Progress = silent,
    conduct: TrainingConduct = _AS_SUITS,
) -> None:
    """Train as `job` says, going on from the newest state in `run_dir`; writes training.json last.

    If this process dies, however it dies, the launcher and all its ranks die with it. A SIGTERM or Ctrl+C
    here lets them save first.

    Args:
        job: what to do; decides the result.
        run_dir: the run's directory, made if need be: job.json, checkpoints/, tensorboard/, history.jsonl,
            best.safetensors, run/ (conduct.json, progress.json, log.txt), training.json.
        progress: told the optimizer steps.
        conduct: how to do it.

    Raises:
        UserError: the job cannot be done, or the training failed.
    """
    check_settings(job)
    run_dir = Path(run_dir).resolve()
    (run_dir / "run").mkdir(parents=True, exist_ok=True)
    with _alone(run_dir):
        _train(job, run_dir, progress, conduct)


def _train(job: TrainingJob, run_dir: Path, progress: Progress, conduct: TrainingConduct) -> None:
    gpus = usable_gpus()
    cores = len(os.sched_getaffinity(0))
    world_size = conduct.world_size or fitting_ranks(job.gradient_accumulation_steps, len(gpus))
    threads = conduct.threads or (_LOADER_THREADS_PER_GPU if gpus else max(1, cores // world_size))
    program = ["--module", "--no_local_rank", "sr.training.train", str(run_dir)]
    command = [*_launcher(world_size, gpus, conduct.hostfile), *program]
    for stale in (RECORD, PROGRESS):
        (run_dir / stale).unlink(missing_ok=True)
    forget(run_dir)
    write_json(run_dir / JOB, to_plain(job))
    write_json(
        run_dir / CONDUCT, to_plain(dataclasses.replace(conduct, world_size=world_size, threads=threads))
    )
    environment = _environment(bool(gpus), max(1, cores // world_size))
    status, asked = _run(command, environment, run_dir, progress)
    if asked is not None:
        raise asked
    if not (run_dir / RECORD).is_file():
        raise _failure(run_dir, status)


@contextlib.contextmanager
def _alone(run_dir: Path) -> Iterator[None]:
    """Hold a run's directory while the block runs.

    Raises:
        UserError: another training holds it, or one whose starter was killed does not die.
    """
    with _held(run_dir, STARTER_LOCK):
        # Our own supervisor is to take this one.
        with _held(run_dir, LOCK):
            pass
        yield


@contextlib.contextmanager
def _held(run_dir: Path, lock: str) -> Iterator[None]:
    handle = supervise.take_lock(run_dir / lock)
    if handle is None:
        raise UserError("no other training", "one at work", str(run_dir), "wait for it, or stop it")
    try:
        yield
    finally:
        os.close(handle)


def fitting_ranks(gradient_accumulation_steps: int, gpus: int) -> int:
    """The most ranks, at most one a GPU, that share a step's micro batches evenly; 1 without a GPU."""
    return max(
        world_size
        for world_size in range(1, max(1, gpus) + 1)
        if gradient_accumulation_steps % world_size == 0
    )


def _launcher(world_size: int, gpus: list[int], hostfile: str) -> list[str]:
    """The launcher's own part of the command.

    Raises:
        UserError: there are GPUs, but not one for each rank; or there is no such hostfile.
    """
    if hostfile:
        # Each host of a file says its own number of devices.
        where = ["--hostfile", str(_hostfile(hostfile))]
    elif gpus:
        if world_size > len(gpus):
            remedy = "lower it, or set CUDA_VISIBLE_DEVICES to nothing to train on the CPU"
            raise UserError(
                f"at most {len(gpus)} ranks, one a GPU", str(world_size), "[training] world_size", remedy
            )
        where = ["--include", f"localhost:{','.join(map(str, gpus[:world_size]))}"]
    else:
        where = ["--num_accelerators", str(world_size)]
    return [sys.executable, "-m", "deepspeed.launcher.runner", *where, "--master_port", str(_free_port())]


def _hostfile(name: str) -> Path:
    """The path of DeepSpeed's list of hosts.

    Raises:
        UserError: there is none; DeepSpeed would train on this host alone, without a word.
    """
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        remedy = "give its path, or leave it out to train on this host alone"
        raise UserError("a file of lines such as: node1 slots=8", "nothing", f"hostfile {name}", remedy)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _environment(on_gpus: bool, compute_threads: int) -> dict[str, str]:
    root = str(Path(sr.__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    if on_gpus:
        # The command names them; the launcher would count only those that the variable shows.
        environment.pop(VISIBLE, None)
    else:
        environment |= {"DS_ACCELERATOR": "cpu"}
        environment |= {"OMP_NUM_THREADS": str(compute_threads)}
        if not _WAITING.keys() & environment.keys():
            environment |= _WAITING
    return environment


def _run(
    command: list[str], environment: dict[str, str], run_dir: Path, progress: Progress
) -> tuple[int, BaseException | None]:
    """Run the launcher under supervision.

    Returns:
        Its exit status, and what interrupted this process meanwhile, if anything did.
    """
    lock = run_dir / LOCK
    supervised = [sys.executable, "-I", supervise.__file__, str(lock), *command]
    asked = None
    with open(run_dir / LOG, "ab") as log, _signals_raise():
        process = subprocess.Popen(
            supervised, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            # The record is written last: what the launcher and its ranks do after it (taking down their
            # libraries, for seconds) is not waited for.
            while process.poll() is None and not (run_dir / RECORD).is_file():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_EVERY_S)
                _tell(run_dir, progress)
        except (KeyboardInterrupt, SystemExit) as interruption:
            asked = interruption
            process.terminate()
            process.wait()
        finally:
            # Closing the pipe is the supervisor's sign to end everything, whatever went wrong here.
            process.stdin.close()
            process.wait()
    return process.returncode, asked


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Have SIGTERM raise an exception while the block runs, so that the ranks can save, as after Ctrl+C.

    A handler that is there already decides which one; by default it is SystemExit.
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


def _tell(run_dir: Path, progress: Progress) -> None:
    path = run_dir / PROGRESS
    if path.is_file():
        told = read_json(path)
        progress(told["done"], told["total"], told["note"])


def _failure(run_dir: Path, status: int) -> UserError:
    """What went wrong: in the training's own words where it knew, else with the end of its log."""
    if told := first_told(run_dir):
        return told
    log = run_dir / LOG
    tail = " | ".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    return UserError(
        "training.json at the end", f"exit status {status}", str(log), f"see the log, which ends: {tail}"
    )
