"""Test how task processes end. Each toy task keeps a FIFO open, so the FIFO ends when the last task ends."""

import contextlib
import errno
import multiprocessing
import os
import select
import signal
import subprocess
import sys

import pytest

from data.errors import UserError
from data.processes.parent_death import die_with_parent
from tasks.runtime.processes import DiesWithParent, check_semaphores

DEADLINE_S = 30
INTERRUPTED = "Interrupted. Finished work is kept; run the same command to continue."


@contextlib.contextmanager
def blocked_run(program, workers: int, task: str = "ToyBlocks"):
    """Start a task that has `workers` running tasks below it; yield the run and the read end of their FIFO."""
    fifo = program.directory / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    arguments = ["luigi", "--module", "toy_dag", task, "--fifo", str(fifo), "--workers", str(workers)]
    with open(program.directory / "stderr", "wb") as errors:
        main = program.start(*arguments, stderr=errors, start_new_session=True)
    pids = []
    try:
        while len(pids) < workers:
            written = read(reader)
            assert written, (program.directory / "stderr").read_text()
            pids += map(int, written.split())
        yield main, pids, reader
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(main.pid, signal.SIGKILL)
        main.wait()
        os.close(reader)


def read(reader: int) -> bytes:
    """Return what the tasks wrote; empty once no task keeps the FIFO open."""
    ready, _, _ = select.select([reader], [], [], DEADLINE_S)
    assert ready, "the tasks neither wrote nor ended in time"
    return os.read(reader, 4096)


def test_tasks_die_when_the_main_process_is_killed(program):
    with blocked_run(program, workers=2) as (main, pids, reader):
        assert main.pid not in pids
        main.kill()
        assert read(reader) == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_ends_everything_with_one_line(program, workers, number):
    with blocked_run(program, workers) as (main, _, reader):
        # Ctrl+C reaches every process of the terminal's foreground group, SIGTERM only the main one.
        os.killpg(main.pid, number) if number == signal.SIGINT else main.send_signal(number)
        assert read(reader) == b""
        assert main.wait(DEADLINE_S) == 128 + number
    assert (program.directory / "stderr").read_text().splitlines() == [INTERRUPTED]
    assert list((program.directory / "tmp").glob("*/*")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_training_saves_before_the_run_ends(program, workers, number):
    with blocked_run(program, workers, "ToyTrainings") as (main, _, reader):
        os.killpg(main.pid, number) if number == signal.SIGINT else main.send_signal(number)
        written = b"".join(iter(lambda: read(reader), b""))
        assert written == b"saved\n" * workers
        assert main.wait(DEADLINE_S) == 128 + number
    assert (program.directory / "stderr").read_text().splitlines() == [INTERRUPTED]


def test_a_child_whose_parent_is_already_dead_dies_at_once():
    child = multiprocessing.get_context("fork").Process(target=die_with_parent, args=(os.getpid() + 1,))
    child.start()
    child.join(DEADLINE_S)
    assert child.exitcode == -signal.SIGKILL


def test_the_main_process_keeps_its_signal_handlers():
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with DiesWithParent(multiprocessing.Process()):
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_forked_task_has_every_module_that_cropping_needs(photo_folder):
    """A module that each task process has to load for itself costs every shard milliseconds."""
    code = f"""
import sys, pathlib, tasks
from tasks.runtime.processes import prepare_to_fork
from data.imaging.encode import encode_png
from data.imaging.decode import decode
from pipeline.perceptual_hash import hash_orientations
from pipeline.downscale import downscale_by_two
from pipeline.quality_metrics import measure_quality, rgb_to_luma
prepare_to_fork()
loaded = set(sys.modules)
for name in ("p0.png", "camera.jpg"):
    image = decode(pathlib.Path({str(photo_folder)!r}, name).read_bytes())
    luma = rgb_to_luma(image)
    encode_png(image), hash_orientations(image), measure_quality(luma, downscale_by_two(luma))
print(sorted(name for name in set(sys.modules) - loaded if "." in name))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("error", [errno.ENOENT, errno.EROFS, errno.ENOSPC])
def test_a_lost_dev_shm_is_named(error, monkeypatch):
    def fail():
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(multiprocessing, "Lock", fail)
    with pytest.raises(UserError, match=f"/dev/shm, which .*: {os.strerror(error)}"):
        check_semaphores()
