"""The program of a rank."""

import torch

from data.atomic_files import write_json
from data.record_json import to_plain
from sr.distributed import rank_program, ranks
from sr.distributed.rank_errors import read_first_error
from sr.training import train, trainer
from sr.training.job import RunOptions, TrainingJob


def test_a_step_that_does_not_fit_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    def overflow(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines")

    write_json(tmp_path / "job.json", to_plain(TrainingJob("realtime-x2", "", "")))
    write_json(tmp_path / "run/options.json", to_plain(RunOptions()))
    monkeypatch.setattr(rank_program, "die_with_supervisor", lambda: None)
    monkeypatch.setattr(ranks, "start_ranks", lambda: ranks.Rank(0, 1, torch.device("cpu")))
    monkeypatch.setattr(trainer, "Trainer", overflow)
    monkeypatch.setenv("RANK", "0")
    assert train.main([str(tmp_path)]) == 1
    error = str(read_first_error(tmp_path))
    assert "Tried to allocate 2.00 GiB" in error and "micro_batch_size" in error and "More lines" not in error
