"""One rank among the others."""

import torch

from sr.distributed import ranks


def test_hidden_gpus_stay_hidden_from_the_ranks(monkeypatch):
    joined = []
    for name, value in {"DS_ACCELERATOR": "cpu", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(ranks.deepspeed, "init_distributed", lambda **how: joined.append(how))
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    assert ranks.start_ranks().device == torch.device("cpu")
    assert joined[0]["dist_backend"] == "gloo" and joined[0]["timeout"].total_seconds() < 1800


def test_slurm_may_show_each_rank_its_own_gpu_alone(monkeypatch):
    chosen = []
    monkeypatch.delenv("DS_ACCELERATOR", raising=False)
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(ranks.deepspeed, "init_distributed", lambda **how: None)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 3)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    monkeypatch.setattr(torch.distributed, "new_group", lambda **how: None)
    assert ranks.start_ranks().device == torch.device("cuda", 0) == chosen[0]
