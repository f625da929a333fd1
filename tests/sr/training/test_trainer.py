"""Whole runs within this process: one rank, no launcher. What is given up stands for what is killed."""

import dataclasses
import json
import signal

import pytest
import torch
from safetensors.torch import load_file
from selections import SELECTION_HASH, write_selection
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data.errors import UserError
from data.records import TrainingJob
from sr.training.engine import start_ranks
from sr.training.launch import _free_port
from sr.training.trainer import Trainer

JOB = TrainingJob(
    "realtime-x2",
    "../selection/selection.json",
    SELECTION_HASH,
    patch_px=32,
    micro_batch=4,
    accumulation=2,
    learning_rate=2e-3,
    warmup_steps=3,
    schedule="cosine",
    max_epochs=3,
    steps_per_epoch=5,
    precision="fp32",
    ema_decay=0.9,
)


@pytest.fixture(scope="module", autouse=True)
def one_rank():
    """Stand in for the launcher."""
    alone = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "DS_ACCELERATOR": "cpu",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (alone | {"MASTER_PORT": str(_free_port())}).items():
            patch.setenv(name, value)
        # On tiny pictures threads wait for each other longer than they work.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield start_ranks()
        torch.set_num_threads(threads)
        torch.distributed.destroy_process_group()


@pytest.fixture(autouse=True)
def signals():
    """Take the trainer's signal handlers away again."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    write_selection(store, (7, 6), (3,), 64)
    return store


def trainer_of(store, name, save_every_s=1e9, **changes):
    job = dataclasses.replace(JOB, **changes)
    (store / name).mkdir(exist_ok=True)
    return Trainer(job, store / name, 0, 1, torch.device("cpu"), threads=1, save_every_s=save_every_s)


class GivenUpError(Exception):
    """The process "died"."""


def give_up_after(trainer, step):
    """Run until `step` steps are done, and let the rest die."""
    original = trainer._step

    def until() -> None:
        if trainer.standing.step == step:
            raise GivenUpError
        original()

    trainer._step = until
    with pytest.raises(GivenUpError):
        trainer.run()


@pytest.fixture(scope="module")
def undisturbed(store):
    assert trainer_of(store, "undisturbed").run()
    return store / "undisturbed"


def test_a_run_leaves_what_it_promises(undisturbed):
    lines = [json.loads(line) for line in (undisturbed / "history.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 5), (2, 10), (3, 15)]
    record = json.loads((undisturbed / "training.json").read_text())
    assert record["stopped_by"] == "limit" and record["steps"] == 15
    assert record["best_psnr_db"] == max(line["psnr_db"] for line in lines)
    events = EventAccumulator(str(undisturbed / "tensorboard")).Reload()
    assert {"epoch/loss", "epoch/psnr_db", "epoch/learning_rate"} <= set(events.Tags()["scalars"])
    assert {"speed/pairs_per_s", "speed/data_wait_share"} <= set(events.Tags()["scalars"])
    assert {"picture 0/low", "picture 0/output", "picture 0/target"} <= set(events.Tags()["images"])


@pytest.mark.parametrize("deaths", [[7], [2, 5, 11, 14]])
def test_a_run_in_pieces_is_equal_bit_for_bit(store, undisturbed, deaths):
    name = f"pieces-{len(deaths)}"
    for step in deaths:
        give_up_after(trainer_of(store, name, save_every_s=0.0), step)
    assert trainer_of(store, name, save_every_s=0.0).run()
    for file in ("best.safetensors", "history.jsonl", "training.json"):
        assert (store / name / file).read_bytes() == (undisturbed / file).read_bytes()
    newest = "checkpoints/step-000000015/state.safetensors"
    expected, found = load_file(undisturbed / newest), load_file(store / name / newest)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected if key.split(".")[0] != "lane")


@pytest.mark.parametrize("loader", ["dali", "torch"])
def test_a_run_in_pieces_with_growing_patches_and_degraded_pictures_is_equal_too(store, loader):
    changes = {"loader": loader, "patch_stages": "16:0.4", "degradation": "bicubic,noise,jpeg,h264@0.2"}
    whole, pieces = f"whole-{loader}", f"stages-{loader}"
    assert trainer_of(store, whole, **changes).run()
    for step in (3, 6, 10):  # the stage ends with step 6
        give_up_after(trainer_of(store, pieces, save_every_s=0.0, **changes), step)
    assert trainer_of(store, pieces, save_every_s=0.0, **changes).run()
    for file in ("best.safetensors", "history.jsonl", "training.json"):
        assert (store / pieces / file).read_bytes() == (store / whole / file).read_bytes()


def test_without_a_state_within_the_epoch_it_goes_on_from_the_last_epoch(store, undisturbed):
    give_up_after(trainer_of(store, "epochs"), 8)
    trainer = trainer_of(store, "epochs")
    assert trainer.standing.step == 5
    assert trainer.run()
    assert (store / "epochs" / "best.safetensors").read_bytes() == (
        undisturbed / "best.safetensors"
    ).read_bytes()


def test_a_signal_saves_and_stops(store, undisturbed):
    trainer = trainer_of(store, "stopped")
    original = trainer._step

    def step() -> None:
        original()
        if trainer.standing.step == 7:
            signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)  # see test_watch.py

    trainer._step = step
    assert not trainer.run()
    assert not (store / "stopped" / "training.json").exists()
    again = trainer_of(store, "stopped")
    assert again.standing.step == 7
    assert again.run()
    assert (store / "stopped" / "history.jsonl").read_bytes() == (undisturbed / "history.jsonl").read_bytes()


def test_patience_ends_a_run_that_gains_nothing(store):
    trainer = trainer_of(store, "patience", learning_rate=0.0, max_epochs=50, patience_epochs=2)
    assert trainer.run()
    record = json.loads((store / "patience" / "training.json").read_text())
    assert (record["stopped_by"], record["epochs"], record["best_epoch"]) == ("patience", 3, 1)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_pictures(store):
    trainer = trainer_of(store, "nan")
    with torch.no_grad():
        trainer.engine.network.core.layers[-1].bias.fill_(float("nan"))
    with pytest.raises(UserError, match=r"finite loss, got nan in the loss of step 1, .*train-\d-\d\.png"):
        trainer.run()
    assert not (store / "nan" / "checkpoints").exists()


def test_another_job_in_the_same_place_is_refused(store, undisturbed):
    with pytest.raises(UserError, match=r"micro_batch 4.*micro_batch 2"):
        trainer_of(store, "undisturbed", micro_batch=2)


def test_a_longer_run_goes_on_and_records_the_change(store):
    assert trainer_of(store, "longer", max_epochs=1).run()
    assert trainer_of(store, "longer", max_epochs=2, learning_rate=1e-4).run()
    record = json.loads((store / "longer" / "training.json").read_text())
    assert record["epochs"] == 2
    assert [change["field"] for change in record["changes"]] == ["learning_rate", "max_epochs"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_with_float32_weights(store, precision):
    trainer = trainer_of(store, precision, precision=precision, max_epochs=1, learning_rate=1e-3)
    assert trainer.run()
    assert {tensor.dtype for tensor in load_file(store / precision / "best.safetensors").values()} == {
        torch.float32
    }
    assert all(
        tensor.isfinite().all() for tensor in load_file(store / precision / "best.safetensors").values()
    )
