"""How ranks are started, and which they are."""

import errno

import pytest
import torch
from deepspeed.launcher import runner

from data.errors import UserError
from sr.distributed import launch, ranks, run_lock, team
from sr.distributed.team import Team, choose_world_size, plan_team


def plan(world_size, hostfile, gpus, monkeypatch, shared=8, say=print):
    monkeypatch.setattr(team, "find_usable_gpus", lambda: gpus)
    return plan_team(world_size, hostfile, shared, say)


@pytest.mark.parametrize(
    ("batch_size", "gpus", "world_size"), [(1, 0, 1), (1, 8, 1), (4, 3, 2), (32, 8, 8), (6, 4, 3)]
)
def test_ranks_share_the_batch_evenly(batch_size, gpus, world_size):
    assert choose_world_size(batch_size, gpus) == world_size


def test_a_hostfile_must_exist_and_is_passed_to_the_launcher(tmp_path, monkeypatch):
    hosts = tmp_path / "hosts"
    with pytest.raises(UserError, match=r"hosts does not exist.*slots=8"):
        plan(1, str(hosts), [], monkeypatch)
    hosts.write_text("node1 slots=8\nnode2 slots=8\n")
    command = launch._launcher(plan(1, str(hosts), [], monkeypatch))
    assert command[command.index("--hostfile") + 1] == str(hosts) and "--num_accelerators" not in command


def test_deepspeeds_launcher_uses_the_selected_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3,2")
    monkeypatch.delenv("DS_ACCELERATOR", raising=False)
    chosen = plan(2, "", [5, 3, 2], monkeypatch)
    command = launch._launcher(chosen)
    parsed = runner.parse_args([*command[3:], "program"])
    resources = runner.parse_inclusion_exclusion({"localhost": 8}, parsed.include, parsed.exclude)
    taken = runner.apply_num_nodes_and_gpus(resources, parsed.num_nodes, parsed.num_gpus)
    assert dict(taken) == {"localhost": [3, 5]}
    # The launcher would ignore the variable with a message, and not count the GPUs that it hides.
    environment = launch._environment(chosen)
    assert "CUDA_VISIBLE_DEVICES" not in environment and "DS_ACCELERATOR" not in environment
    with pytest.raises(UserError, match="at most 3 ranks"):
        plan(4, "", [5, 3, 2], monkeypatch)


def test_hidden_gpus_stay_hidden_from_the_ranks(monkeypatch):
    assert launch._environment(Team(1))["DS_ACCELERATOR"] == "cpu"
    # As in a rank that DeepSpeed's launcher started: it has shown GPU 0 again.
    joined = []
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(ranks.deepspeed, "init_distributed", lambda **how: joined.append(how))
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    assert ranks.start_ranks().device == torch.device("cpu")
    assert joined[0]["dist_backend"] == "gloo"


@pytest.mark.parametrize("gpus", [(), (0, 1)])
def test_ranks_share_the_cores_and_how_threads_wait_is_left_to_torch(monkeypatch, gpus):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(team, "usable_cores", lambda: 6)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert launch._environment(Team(2, gpus))["OMP_NUM_THREADS"] == "1", "as the environment says"
    monkeypatch.delenv("OMP_NUM_THREADS")
    environment = launch._environment(Team(2, gpus))
    assert environment["OMP_NUM_THREADS"] == "3"
    assert not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & environment.keys()


def test_idle_gpus_are_named(monkeypatch):
    said = []
    assert plan(0, "", [0, 1, 2], monkeypatch, say=said.append).gpus == (0, 1)
    assert said == ["2 of 3 GPUs train: more cannot share a batch of 8 evenly."]


def test_a_run_directory_on_a_mount_without_locks_is_refused_by_name(tmp_path, monkeypatch):
    def refuse(handle, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_lock.supervise.fcntl, "flock", refuse)
    (tmp_path / "run").mkdir()
    with (
        pytest.raises(UserError, match=f"the mount of {tmp_path}/.*, has no file locks"),
        run_lock.hold_run(tmp_path),
    ):
        pass
