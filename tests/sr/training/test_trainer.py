"""Whole runs within this process: one rank, no launcher. An abandoned run stands for a killed one."""

import dataclasses
import json
import signal
from xml.etree import ElementTree

import pytest
import torch
from safetensors.torch import load_file
from selections import SELECTION_HASH, write_selection
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data.errors import UserError
from sr.distributed.rank_errors import StepError
from sr.distributed.ranks import Rank
from sr.models.presets import find_preset
from sr.models.registry import build_network, recognize
from sr.training.job import RunOptions, TrainingJob
from sr.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_rank")
JOB = TrainingJob(
    "realtime-x2",
    "../selection/selection.json",
    SELECTION_HASH,
    patch_px=32,
    batch_size=8,
    learning_rate=2e-3,
    warmup_steps=3,
    schedule="cosine",
    max_epochs=3,
    steps_per_epoch=5,
    precision="fp32",
    ema_decay=0.9,
)


@pytest.fixture(autouse=True)
def signals():
    """Restore the signal handlers that the trainer replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    write_selection(store, (7, 6), (3,), 64)
    return store


def trainer_of(store, name, save_every_s=1e9, save_every_steps=0, micro_batch_size=0, **changes):
    job = dataclasses.replace(JOB, **changes)
    (store / name).mkdir(exist_ok=True)
    options = RunOptions(
        num_workers=1,
        save_every_s=save_every_s,
        save_every_steps=save_every_steps,
        micro_batch_size=micro_batch_size,
    )
    return Trainer(job, store / name, Rank(0, 1, torch.device("cpu")), options)


def record_of(store, name):
    return json.loads((store / name / "training.json").read_text())


class AbandonedError(Exception):
    """The run is abandoned, as if its process had died."""


def abandon_after(trainer, step):
    """Run until `step` steps are complete, then abandon the run."""
    original = trainer._step

    def until() -> None:
        if trainer.run_state.step == step:
            raise AbandonedError
        original()

    trainer._step = until
    with pytest.raises(AbandonedError):
        trainer.run()


@pytest.fixture(scope="module")
def undisturbed(store):
    assert trainer_of(store, "undisturbed").run()
    return store / "undisturbed"


def test_a_run_writes_all_its_files(undisturbed):
    lines = [json.loads(line) for line in (undisturbed / "history.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 5), (2, 10), (3, 15)]
    record = json.loads((undisturbed / "training.json").read_text())
    assert record["stopped_by"] == "limit" and record["steps"] == 15
    assert record["best_psnr_db"] == max(line["psnr_db"] for line in lines)
    plan = (undisturbed / "run/plan.txt").read_text()
    assert "Each step takes 8 pairs (32 px): 1 x 8 on each of 1 device." in plan
    assert "15 steps at most: 3 epochs of 5" in plan and "13 training crops are decoded once" in plan
    events = EventAccumulator(str(undisturbed / "tensorboard")).Reload()
    assert {"epoch/loss", "epoch/psnr_db", "epoch/learning_rate"} <= set(events.Tags()["scalars"])
    assert {"speed/pairs_per_s", "speed/data_wait_share"} <= set(events.Tags()["scalars"])
    assert {"image 0/LR", "image 0/output", "image 0/target"} <= set(events.Tags()["images"])
    curve = ElementTree.parse(undisturbed / "curve.svg").getroot()
    assert [chart.get("aria-label") for chart in curve.findall("{*}svg")] == [
        "training loss",
        "validation PSNR",
    ]
    assert len(curve.findall(".//{*}path[@class='curve-line']")) == 2


def test_events_of_steps_after_the_checkpoint_are_discarded(store):
    trainer = trainer_of(store, "discarded")
    trainer.log.add_scalars(3, {"step/loss": 99.0})
    trainer.log.close([])
    trainer_of(store, "discarded").log.add_scalars(2, {"step/loss": 1.0})
    again = trainer_of(store, "discarded").log
    again.add_scalars(4, {"step/loss": 2.0})
    again.close([])
    events = EventAccumulator(str(store / "discarded" / "tensorboard")).Reload()
    assert [(one.step, one.value) for one in events.Scalars("step/loss")] == [(4, 2.0)]


def test_checkpoints_contain_branches_and_exported_weights_do_not(store, undisturbed):
    state = load_file(undisturbed / "checkpoints/step-000000015/state.safetensors")
    for kind in ("network", "ema", "optimizer.exp_avg"):
        assert any(name.startswith(f"{kind}.layers.") and name.endswith(".squeeze") for name in state)
    assert recognize(load_file(undisturbed / "best.safetensors")).preset == "realtime-x2"
    engine = trainer_of(store, "undisturbed").engine
    plain = build_network(find_preset("realtime-x2"))
    plain.core.load_state_dict(engine.export_weights(), strict=True)
    lr_image = torch.randint(
        0, 256, (1, 3, 16, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    assert not torch.equal(
        plain.predict(lr_image), build_network(find_preset("realtime-x2")).predict(lr_image)
    )
    torch.testing.assert_close(
        plain.predict(lr_image), engine.evaluated_network.predict(lr_image), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("deaths", [[7], [2, 5, 11, 14]])
def test_an_interrupted_run_is_equal_bit_for_bit(store, undisturbed, deaths):
    name = f"pieces-{len(deaths)}"
    for step in deaths:
        abandon_after(trainer_of(store, name, save_every_s=0.0), step)
    assert trainer_of(store, name, save_every_s=0.0).run()
    for file in ("best.safetensors", "history.jsonl", "training.json"):
        assert (store / name / file).read_bytes() == (undisturbed / file).read_bytes()
    newest = "checkpoints/step-000000015/state.safetensors"
    expected, found = load_file(undisturbed / newest), load_file(store / name / newest)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_another_micro_batch_gives_the_same_but_for_rounding(store, undisturbed):
    assert trainer_of(store, "micro", micro_batch_size=2).run()
    expected, found = (
        [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]
        for path in (undisturbed, store / "micro")
    )
    for name, tolerance in (("psnr_db", 0.02), ("loss", 1e-4), ("validation_loss", 1e-4)):
        assert [line[name] for line in found] == pytest.approx(
            [line[name] for line in expected], abs=tolerance
        )


def test_an_interrupted_run_with_growing_patches_and_degraded_images_is_equal(store):
    changes = {"patch_stages": "16:0.4", "degradation": "bicubic,noise,jpeg,h264@0.2"}
    whole, pieces = "whole-stages", "stages"
    assert trainer_of(store, whole, **changes).run()
    for step in (3, 6, 10):  # the stage ends with step 6
        abandon_after(trainer_of(store, pieces, save_every_s=0.0, **changes), step)
    assert trainer_of(store, pieces, save_every_s=0.0, **changes).run()
    for file in ("best.safetensors", "history.jsonl", "training.json"):
        assert (store / pieces / file).read_bytes() == (store / whole / file).read_bytes()


def test_without_a_checkpoint_within_the_epoch_a_run_resumes_from_the_last_epoch(store, undisturbed):
    abandon_after(trainer_of(store, "epochs"), 8)
    trainer = trainer_of(store, "epochs")
    assert trainer.run_state.step == 5
    assert trainer.run()
    assert (store / "epochs" / "best.safetensors").read_bytes() == (
        undisturbed / "best.safetensors"
    ).read_bytes()


def test_a_signal_saves_and_stops(store, undisturbed):
    trainer = trainer_of(store, "stopped")
    original = trainer._step

    def step() -> None:
        original()
        if trainer.run_state.step == 7:
            signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)  # see test_monitors.py

    trainer._step = step
    assert not trainer.run()
    assert not (store / "stopped" / "training.json").exists()
    again = trainer_of(store, "stopped")
    assert again.run_state.step == 7
    assert again.run()
    assert (store / "stopped" / "history.jsonl").read_bytes() == (undisturbed / "history.jsonl").read_bytes()


def when_validating(trainer, step, act):
    """Have `act` called before the validation after `step` steps."""
    original = trainer._validation_images

    def images():
        if trainer.run_state.step == step:
            act()
        yield from original()

    trainer._validation_images = images


def test_a_validation_that_is_killed_is_repeated(store, undisturbed):
    def die() -> None:
        raise AbandonedError

    for step in (5, 10, 15):
        trainer = trainer_of(store, "validated", save_every_steps=1)
        trainer.options = dataclasses.replace(trainer.options, save_total_limit=1)
        when_validating(trainer, step, die)
        with pytest.raises(AbandonedError):
            trainer.run()
        # It is written a second time after validation: another checkpoint must exist meanwhile.
        names = {path.name for path in (store / "validated" / "checkpoints").iterdir()}
        assert {f"step-{step - 1:09d}", f"step-{step:09d}"} <= names
    again = trainer_of(store, "validated", save_every_steps=1)
    assert again.run_state.validation_pending and len(again.run_state.history) == 2
    assert again.run()
    for file in ("best.safetensors", "history.jsonl", "training.json"):
        assert (store / "validated" / file).read_bytes() == (undisturbed / file).read_bytes()


def test_a_signal_stops_a_validation_at_once(store, undisturbed):
    trainer = trainer_of(store, "left")
    when_validating(trainer, 10, lambda: signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None))
    assert not trainer.run()
    again = trainer_of(store, "left")
    assert again.run_state.step == 10 and len(again.run_state.history) == 1
    assert again.run()
    assert (store / "left" / "history.jsonl").read_bytes() == (undisturbed / "history.jsonl").read_bytes()


def test_patience_ends_a_run_without_gain_with_a_warning(store, capsys):
    trainer = trainer_of(store, "patience", learning_rate=0.0, max_epochs=50, patience_epochs=2)
    assert trainer.run()
    record = record_of(store, "patience")
    assert (record["stopped_by"], record["epochs"], record["best_epoch"]) == ("patience", 3, 1)
    assert [one["kind"] for one in record["warnings"]] == ["plateau", "unchanged"]
    assert f"warning at step 15: {record['warnings'][0]['text']}" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_stops_the_run_and_is_reported_with_its_images(store):
    trainer = trainer_of(store, "nan")
    with torch.no_grad():
        trainer.engine.network.core.layers[-1].bias.fill_(float("nan"))
    with pytest.raises(UserError, match=r"The loss of step 1 is nan, .*train-\d-\d\.png"):
        trainer.run()
    assert not (store / "nan" / "checkpoints").exists()


def test_weights_that_break_after_a_finite_loss_are_not_saved(store):
    trainer = trainer_of(store, "broken")
    learn = trainer.engine.step

    def step(*arguments, **options):
        losses = learn(*arguments, **options)
        if trainer.run_state.step == 9:  # a gradient that was not finite, in the epoch's last step
            with torch.no_grad():
                trainer.engine.network.core.layers[0].bias[0] = float("nan")
        return losses

    trainer.engine.step = step
    with pytest.raises(StepError, match="weights after step 10 are not finite"):
        trainer.run()
    again = trainer_of(store, "broken")
    assert again.run_state.step == 5 and again.engine.is_finite()


def test_another_job_in_the_same_directory_is_refused(store, undisturbed):
    with pytest.raises(UserError, match=r"batch_size 8.*batch_size 4"):
        trainer_of(store, "undisturbed", batch_size=4)


def test_an_extended_run_resumes_and_records_the_change(store):
    assert trainer_of(store, "longer", max_epochs=1).run()
    assert trainer_of(store, "longer", max_epochs=2, learning_rate=1e-4).run()
    record = record_of(store, "longer")
    assert record["epochs"] == 2
    assert [(change["step"], change["field"]) for change in record["changes"]] == [
        (5, "learning_rate"),
        (5, "max_epochs"),
    ]
    assert record["settings"]["max_epochs"] == 2


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


def test_the_limit_of_hours_ends_a_run_after_validation_and_can_be_raised(store):
    trainer = trainer_of(store, "hours", max_hours=1.0)
    original = trainer._step

    def step() -> None:
        original()
        if trainer.run_state.step == 7:
            trainer.vote._end = 0.0  # the clock of another hour

    trainer._step = step
    assert trainer.run()
    record = record_of(store, "hours")
    assert (record["stopped_by"], record["steps"], record["epochs"]) == ("hours", 7, 2)
    again = trainer_of(store, "hours", max_hours=2.0)
    assert 0.0 < again._trained_before_s < 3600.0
    assert again.run()
    assert (record_of(store, "hours")["stopped_by"], record_of(store, "hours")["steps"]) == ("limit", 15)


def test_hours_of_earlier_sessions_count(store):
    assert trainer_of(store, "over", max_epochs=1).run()
    trainer = trainer_of(store, "over", max_epochs=2, max_hours=1e-9)
    assert trainer.run()
    assert (record_of(store, "over")["stopped_by"], record_of(store, "over")["steps"]) == ("hours", 5)


def test_the_latest_checkpoints_and_the_best_one_are_kept(store):
    trainer = trainer_of(store, "kept", save_every_steps=2, max_epochs=1)
    assert trainer.run()
    names = sorted(path.name for path in (store / "kept" / "checkpoints").iterdir())
    assert names == ["step-000000004", "step-000000005"]
    trainer = trainer_of(store, "kept", save_every_steps=2, max_epochs=3, learning_rate=0.0)
    trainer.run_state.best_psnr_db = 99.0
    assert trainer.run()
    names = sorted(path.name for path in (store / "kept" / "checkpoints").iterdir())
    assert names == ["step-000000005", "step-000000014", "step-000000015"]


def test_the_validation_loss_can_select_the_best_weights(store):
    trainer = trainer_of(store, "monitor", monitor="loss")
    assert trainer.run()
    lines = [json.loads(line) for line in (store / "monitor" / "history.jsonl").read_text().splitlines()]
    record = record_of(store, "monitor")
    assert record["best_loss"] == min(line["validation_loss"] for line in lines)
    assert lines[record["best_epoch"] - 1]["best"]


def test_each_term_of_a_loss_is_reported(store):
    assert trainer_of(store, "terms", loss="l1:1+frequency:0.5", max_epochs=1).run()
    (line,) = [json.loads(line) for line in (store / "terms" / "history.jsonl").read_text().splitlines()]
    assert line["loss"] == pytest.approx(line["losses"]["l1"] + 0.5 * line["losses"]["frequency"], abs=1e-7)
    events = EventAccumulator(str(store / "terms" / "tensorboard")).Reload()
    assert {"loss/l1", "loss/frequency"} <= set(events.Tags()["scalars"])


def test_weights_far_below_bicubic_are_never_kept(store):
    trainer = trainer_of(store, "exploded", max_epochs=1)
    with torch.no_grad():
        trainer.engine.network.core.layers[-1].bias.fill_(1e3)
        trainer.engine.evaluated_network.core.layers[-1].bias.fill_(1e3)
    with pytest.raises(UserError, match=r"No epoch .*1 in all.* within 10 dB of bicubic"):
        trainer.run()
    assert not (store / "exploded" / "best.safetensors").exists()
    assert not (store / "exploded" / "training.json").exists()


def test_steps_that_the_scaler_skips_are_counted(store):
    trainer = trainer_of(store, "skipped", precision="fp16", max_epochs=1)
    trainer.engine._scaler()._init_scale = 2.0**26
    assert trainer.run()
    line = json.loads((store / "skipped" / "history.jsonl").read_text())
    assert 0 < line["skipped_steps"] == record_of(store, "skipped")["skipped_steps"] < 5


def test_compiled_training_agrees_with_eager(store, undisturbed):
    trainer = trainer_of(store, "compiled", compile=True)
    assert not trainer.engine.not_compiled
    assert trainer.run()
    expected, found = (load_file(path / "best.safetensors") for path in (undisturbed, store / "compiled"))
    assert all(torch.allclose(found[name], expected[name], atol=2e-4) for name in expected)


def test_without_a_compiler_training_continues_with_one_warning(store, undisturbed, monkeypatch, capsys):
    def no_compiler(model, inputs):
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found")

    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda run, dynamic, mode: original(run, backend=no_compiler))
    assert trainer_of(store, "eager", compile=True).run()
    (warning,) = record_of(store, "eager")["warnings"]
    assert warning["kind"] == "not_compiled" and "No working C++ compiler" in warning["text"]
    assert capsys.readouterr().out.count("No working C++ compiler") == 1
    best = (store / "eager" / "best.safetensors").read_bytes()
    assert best == (undisturbed / "best.safetensors").read_bytes()
