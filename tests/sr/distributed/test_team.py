"""Which ranks there are, where they run, and by what they are started."""

import shlex

import pytest

from data.errors import UserError
from sr.distributed import team
from sr.distributed.commands import describe_start, ranks_command
from sr.distributed.team import HostRanks, Team, choose_world_size, plan_team


def plan(launcher, world_size, hostfile, monkeypatch, gpus=(), shared=8, say=print, environment=None):
    monkeypatch.setattr(team, "find_usable_gpus", lambda: list(gpus))
    monkeypatch.setattr(team.shutil, "which", lambda name: name)
    return plan_team(launcher, world_size, str(hostfile), shared, say, environment or {})


@pytest.mark.parametrize(
    ("batch_size", "gpus", "world_size"), [(1, 0, 1), (1, 8, 1), (4, 3, 2), (32, 8, 8), (6, 4, 3)]
)
def test_ranks_share_the_batch_evenly(batch_size, gpus, world_size):
    assert choose_world_size(batch_size, gpus) == world_size


def test_idle_gpus_are_named(monkeypatch):
    said = []
    assert plan("auto", 0, "", monkeypatch, [0, 1, 2], say=said.append).world_size == 2
    assert said == ["2 of 3 GPUs train: more cannot share a batch of 8 evenly."]
    with pytest.raises(UserError, match="at most 3 ranks"):
        plan("auto", 4, "", monkeypatch, [5, 3, 2])


def test_a_hostfile_says_the_ranks_of_each_host(tmp_path, monkeypatch):
    hosts = tmp_path / "hosts"
    with pytest.raises(UserError, match=r"hosts does not exist.*slots=8"):
        plan("auto", 0, hosts, monkeypatch)
    hosts.write_text(
        "# the big ones\nnode1 slots=4\n\nnode2 slots=3  # one is broken\nnode3 slots=0\nnode4 slots=1\n"
    )
    ranks = (HostRanks("node1", 4), HostRanks("node2", 3), HostRanks("node4", 1))
    assert plan("auto", 0, hosts, monkeypatch) == Team(8, "ssh", ranks)
    assert plan("pdsh", 8, hosts, monkeypatch) == Team(8, "pdsh", ranks)
    with pytest.raises(UserError, match="world_size is 4, but .* has 8 slots"):
        plan("ssh", 4, hosts, monkeypatch)
    with pytest.raises(UserError, match="8 ranks cannot share a batch of 12 pairs evenly"):
        plan("ssh", 0, hosts, monkeypatch, shared=12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node1\n", "Line 1 of .* is 'node1'"),
        ("node1 slots=8\nnode1 slots=8\n", "Line 2 of .* names node1 twice"),
        ("node1 slots=many\n", "Line 1 of"),
        ("# none\n", "names no host with slots"),
        ("localhost slots=2\nnode2 slots=2\n", "begins with localhost"),
    ],
)
def test_a_hostfile_that_makes_no_sense_is_refused(tmp_path, monkeypatch, text, words):
    (tmp_path / "hosts").write_text(text)
    with pytest.raises(UserError, match=words):
        plan("ssh", 0, tmp_path / "hosts", monkeypatch)


def test_what_is_missing_for_a_launcher_is_said(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="launcher is pdsh, but hostfile is empty"):
        plan("pdsh", 0, "", monkeypatch)
    with pytest.raises(UserError, match="no job of Slurm"):
        plan("srun", 0, "", monkeypatch)
    with pytest.raises(UserError, match="how many ranks will come"):
        plan("torchrun", 0, "", monkeypatch)
    (tmp_path / "hosts").write_text("node1 slots=8\n")
    monkeypatch.setattr(team, "find_usable_gpus", list)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="The program pdsh is not installed on "):
        plan_team("pdsh", 0, str(tmp_path / "hosts"), 8, print, {})


def test_slurm_places_as_many_ranks_on_each_node(tmp_path, monkeypatch):
    job = {"SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_ON_NODE": "26"}
    one_task = job | {"SLURM_NTASKS_PER_NODE": "1"}
    chosen = plan("srun", 0, "", monkeypatch, [0, 1, 2, 3], environment=one_task)
    assert (chosen.world_size, [host.ranks for host in chosen.hosts]) == (8, [4, 4])
    by_tasks = plan("srun", 0, "", monkeypatch, environment=job | {"SLURM_NTASKS_PER_NODE": "2(x2)"})
    assert by_tasks.world_size == 4
    command = ranks_command("some.module", tmp_path, chosen, job)
    assert command[0] == "srun" and command[-3:] == ["-m", "some.module", str(tmp_path)]
    assert {
        "--nodes=2",
        "--ntasks=8",
        "--ntasks-per-node=4",
        "--cpus-per-task=6",
        "--kill-on-bad-exit=1",
    } <= set(command)
    with pytest.raises(UserError, match="world_size is 3, which 2 nodes cannot share"):
        plan("srun", 3, "", monkeypatch, environment=job)


def test_pdsh_gives_each_host_its_number(tmp_path):
    folder = tmp_path / "with space"
    chosen = Team(2, "pdsh", (HostRanks("a", 1), HostRanks("b", 1)))
    command = ranks_command("some.module", folder, chosen)
    assert command[:6] == ["pdsh", "-S", "-f", "2", "-w", "a,b"]
    words = shlex.split(command[-1])
    assert words[:2] == ["exec", "env"] and words[-3:] == [str(folder), "some.module", "%n"]
    assert "pkill" not in " ".join(command)


def test_starting_ranks_by_hand_is_explained(tmp_path):
    text = describe_start("some.module", tmp_path, Team(4, "torchrun"))
    assert "Waiting for 4 ranks" in text and text.endswith(f"-m some.module {tmp_path}")
