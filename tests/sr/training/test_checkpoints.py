from pathlib import Path

import pytest
import torch

from data.errors import UserError
from sr.training.checkpoints import TrainingState, changes_of, load_newest, save_state


def state(step: int) -> TrainingState:
    return TrainingState(
        step, {"weight": torch.full((3,), float(step)), "state": torch.arange(4)}, {"of": step}
    )


def same(first: TrainingState, second: TrainingState) -> bool:
    tensors = all(torch.equal(first.tensors[name], second.tensors[name]) for name in second.tensors)
    return tensors and first.step == second.step and first.plain == second.plain


def test_the_newest_state_comes_back_and_few_are_kept_beside_the_best(tmp_path):
    assert load_newest(tmp_path, print) is None
    for step in (5, 10, 100, 1000):
        save_state(tmp_path, state(step), kept=2, best_step=5)
    assert same(load_newest(tmp_path, print), state(1000))
    assert sorted(int(path.name[5:]) for path in tmp_path.iterdir()) == [5, 100, 1000]


def change(file) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("state.safetensors", change),
        ("state.safetensors", Path.unlink),
        ("state.json", Path.unlink),
        ("state.json", lambda file: file.write_text('{"schema')),
        ("state.json", lambda file: file.write_text("{}")),
        ("state.json", lambda file: file.write_text("[1, 2, 3]")),
        ("state.json", lambda file: file.write_bytes(b"\xff\x00")),
    ],
)
def test_a_damaged_state_gives_way_to_the_one_before_and_goes_with_the_next(tmp_path, file, damage):
    save_state(tmp_path, state(100), kept=2)
    save_state(tmp_path, state(200), kept=2)
    damage(tmp_path / "step-000000200" / file)
    told = []
    assert same(load_newest(tmp_path, told.append), state(100))
    assert len(told) == 1 and "step-000000200" in told[0]
    save_state(tmp_path, state(110), kept=1, best_step=100)
    assert same(load_newest(tmp_path, told.append), state(110))
    assert sorted(int(path.name[5:]) for path in tmp_path.iterdir()) == [100, 110]


def test_another_version_is_refused(tmp_path):
    save_state(tmp_path, state(1), kept=2)
    record = tmp_path / "step-000000001" / "state.json"
    record.write_text(record.read_text().replace('"schema": 2', '"schema": 1'))
    with pytest.raises(UserError, match="version 2"):
        load_newest(tmp_path, print)


def test_limits_may_change_and_are_recorded():
    before = {"max_epochs": 3, "preset": "a", "selection": "here"}
    now = {"max_epochs": 5, "preset": "a", "selection": "there"}
    assert changes_of(before, now, 7, "run") == [{"step": 7, "field": "max_epochs", "from": 3, "to": 5}]


def test_another_model_is_refused_with_the_difference():
    with pytest.raises(UserError, match=r"preset 'a'.*preset 'b'.*another directory"):
        changes_of({"preset": "a", "seed": 1}, {"preset": "b", "seed": 1}, 7, "run")
