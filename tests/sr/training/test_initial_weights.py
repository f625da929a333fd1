"""A run that begins with the weights of a file, in place of random ones."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from selections import SELECTION_HASH, write_selection

from data.errors import UserError
from data.hashing import sha256_file
from sr.distributed.ranks import Rank
from sr.models.presets import find_preset
from sr.models.registry import build_network
from sr.training.checkpoints import find_changes
from sr.training.initial_weights import FILE, place_initial_weights
from sr.training.job import RunOptions, TrainingJob
from sr.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_rank")
PRESET = find_preset("realtime-x2")


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    torch.manual_seed(3)
    weights = build_network(PRESET).core.state_dict()
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_file(weights, path)
    return path


def trainer_of(store, name, sha256, **changes):
    write_selection(store, (4,), (2,), 32)
    job = TrainingJob(
        "realtime-x2",
        "../selection/selection.json",
        SELECTION_HASH,
        initial_weights=sha256,
        patch_px=16,
        batch_size=4,
        warmup_steps=0,
        max_steps=2,
        steps_per_epoch=2,
        precision="fp32",
    )
    options = RunOptions(num_workers=1, save_every_steps=1)
    rank = Rank(0, 1, torch.device("cpu"))
    return Trainer(dataclasses.replace(job, **changes), store / name, rank, options)


def test_a_run_begins_with_the_weights_and_a_resumed_one_ends_the_same(weights_file, tmp_path, monkeypatch):
    sha256, weights = sha256_file(weights_file), load_file(weights_file)
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        place_initial_weights(weights_file, tmp_path / name, PRESET)
    trainer = trainer_of(tmp_path, "whole", sha256, reparameterize="on")
    start = trainer.engine.export_weights()
    assert start.keys() == weights.keys()
    assert all(torch.equal(start[name], weights[name]) for name in weights)
    assert trainer.run()
    stopped = trainer_of(tmp_path, "stopped", sha256, reparameterize="on")
    step = stopped._step
    monkeypatch.setattr(stopped, "_step", lambda: step() if stopped.run_state.step < 1 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stopped.run()
    assert trainer_of(tmp_path, "stopped", sha256, reparameterize="on").run()
    whole, resumed = (load_file(tmp_path / name / "best.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_weights_that_are_gone_or_of_another_file_or_network_are_refused(weights_file, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=r"initial\.safetensors do not exist"):
        trainer_of(tmp_path, "run", "0" * 64)
    place_initial_weights(weights_file, tmp_path / "run", PRESET)
    with pytest.raises(UserError, match="are not those that job.json names"):
        trainer_of(tmp_path, "run", "0" * 64)
    (tmp_path / "run" / FILE).unlink()
    with pytest.raises(UserError, match=r"are of realtime \(scale 2.*trains realtime \(scale 3"):
        place_initial_weights(weights_file, tmp_path / "run", find_preset("realtime-x3"))
    assert not (tmp_path / "run" / FILE).exists()


def test_a_run_of_an_older_version_which_has_no_such_field_goes_on():
    job = dataclasses.asdict(TrainingJob("realtime-x2", "", ""))
    older = json.loads(json.dumps(job))
    del older["initial_weights"]
    assert find_changes(older, job, 5, "run") == []
    with pytest.raises(UserError, match="initial_weights"):
        find_changes(older, job | {"initial_weights": "ab"}, 5, "run")
