from pathlib import Path

import pytest
import torch

from data.errors import UserError
from sr.training.checkpoints import Checkpoint, find_changes, load_latest_checkpoint, save_checkpoint


def checkpoint_at(step: int) -> Checkpoint:
    return Checkpoint(step, {"weight": torch.full((3,), float(step)), "state": torch.arange(4)}, {"of": step})


def same(first: Checkpoint, second: Checkpoint) -> bool:
    tensors = all(torch.equal(first.tensors[name], second.tensors[name]) for name in second.tensors)
    return tensors and first.step == second.step and first.metadata == second.metadata


def test_the_latest_checkpoint_is_loaded_and_few_are_kept_besides_the_best(tmp_path):
    assert load_latest_checkpoint(tmp_path, print) is None
    for step in (5, 10, 100, 1000):
        save_checkpoint(tmp_path, checkpoint_at(step), keep=2, best_step=5)
    assert same(load_latest_checkpoint(tmp_path, print), checkpoint_at(1000))
    assert sorted(int(path.name[5:]) for path in tmp_path.iterdir()) == [5, 100, 1000]


def flip_last_byte(file) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("state.safetensors", flip_last_byte),
        ("state.safetensors", Path.unlink),
        ("state.json", Path.unlink),
        ("state.json", lambda file: file.write_text('{"schema')),
        ("state.json", lambda file: file.write_text("{}")),
        ("state.json", lambda file: file.write_text("[1, 2, 3]")),
        ("state.json", lambda file: file.write_bytes(b"\xff\x00")),
    ],
)
def test_a_damaged_checkpoint_is_skipped_and_deleted_with_the_next_save(tmp_path, file, damage):
    save_checkpoint(tmp_path, checkpoint_at(100), keep=2)
    save_checkpoint(tmp_path, checkpoint_at(200), keep=2)
    damage(tmp_path / "step-000000200" / file)
    reported = []
    assert same(load_latest_checkpoint(tmp_path, reported.append), checkpoint_at(100))
    assert len(reported) == 1 and "step-000000200" in reported[0]
    save_checkpoint(tmp_path, checkpoint_at(110), keep=1, best_step=100)
    assert same(load_latest_checkpoint(tmp_path, reported.append), checkpoint_at(110))
    assert sorted(int(path.name[5:]) for path in tmp_path.iterdir()) == [100, 110]


def test_another_version_is_refused(tmp_path):
    save_checkpoint(tmp_path, checkpoint_at(1), keep=2)
    record = tmp_path / "step-000000001" / "state.json"
    record.write_text(record.read_text().replace('"schema": 4', '"schema": 1'))
    with pytest.raises(UserError, match="version 4"):
        load_latest_checkpoint(tmp_path, print)


def test_permitted_changes_are_recorded():
    before = {"max_epochs": 3, "preset": "a", "selection": "here"}
    now = {"max_epochs": 5, "preset": "a", "selection": "there"}
    assert find_changes(before, now, 7, "run") == [{"step": 7, "field": "max_epochs", "from": 3, "to": 5}]


def test_another_model_is_refused_and_the_difference_named():
    with pytest.raises(UserError, match=r"preset 'a'.*preset 'b'.*another directory"):
        find_changes({"preset": "a", "seed": 1}, {"preset": "b", "seed": 1}, 7, "run")
