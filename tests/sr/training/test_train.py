"""The program of a rank."""

import errno
import os
from unittest.mock import Mock

import pytest
import torch

from data.atomic_files import write_json
from data.record_json import to_plain
from sr.distributed import rank_program, ranks
from sr.distributed.rank_errors import read_first_error
from sr.distributed.session import open_session
from sr.distributed.team import HostRanks, Team
from sr.training import train, trainer
from sr.training.job import RunOptions, TrainingJob


@pytest.fixture
def fail(tmp_path, monkeypatch):
    """Return a function that runs a rank whose training raises an error, and returns what the rank records."""
    write_json(tmp_path / "job.json", to_plain(TrainingJob("realtime-x2", "", "")))
    write_json(tmp_path / "run/options.json", to_plain(RunOptions()))
    open_session(tmp_path, Team(1, "here", (HostRanks("a", 1),)), ())
    monkeypatch.setattr(rank_program, "die_with_supervisor", lambda: None)
    monkeypatch.setattr(ranks, "start_ranks", lambda: ranks.Rank(0, 1, torch.device("cpu")))
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)

    def run(error: Exception) -> str:
        monkeypatch.setattr(trainer, "Trainer", Mock(side_effect=error))
        assert train.main([str(tmp_path)]) == 1
        return str(read_first_error(tmp_path))

    return run


def test_a_step_that_does_not_fit_is_an_error_that_says_what_to_do(fail):
    error = fail(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines"))
    assert "Tried to allocate 2.00 GiB" in error and "micro_batch_size" in error and "More lines" not in error


def test_a_full_disk_is_an_error_that_says_what_to_do(fail, tmp_path):
    error = fail(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert error == f"No space left on device while training in {tmp_path}. Make room there, and run again."
