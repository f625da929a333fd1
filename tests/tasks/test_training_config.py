"""What [training] means for a preset."""

import contextlib

import luigi
import pytest

from data.errors import UserError
from data.setting import settings_of
from sr.models.presets import PRESETS
from sr.training.job import RunOptions, TrainingJob
from sr.training.recipes import RECIPES
from tasks.train import TrainModel
from tasks.training_config import changeable_settings, training, training_settings


@contextlib.contextmanager
def settings(sections):
    """Set keys of luigi.cfg while the block runs."""
    config = luigi.configuration.get_config()
    with contextlib.ExitStack() as undo:
        for section, keys in sections.items():
            for name, value in keys.items():
                config.set(section, name, value)
                undo.callback(config.remove_option, section, name)
        yield


def test_what_is_empty_comes_from_the_recipe_of_the_preset():
    with settings({"model": {"preset": "vapsr-x4"}}):
        found = training_settings()
    assert (found["schedule"], found["ema_decay"], found["max_steps"]) == ("cosine", 0.999, 1_000_000)
    assert found["weight_decay"] == 0.0 and found["learning_rate_min"] == 1e-7


def test_what_is_set_stays_also_where_it_is_zero():
    chosen = {"max_steps": "0", "ema_decay": "0", "schedule": "constant", "learning_rate": "0.01"}
    with settings({"model": {"preset": "vapsr-x4"}, "training": chosen}):
        found = training_settings()
        assert changeable_settings()["max_steps"] == 0
    assert (found["max_steps"], found["ema_decay"], found["schedule"]) == (0, 0.0, "constant")
    assert found["learning_rate"] == 0.01 and found["weight_decay"] == 0.0


def test_every_preset_has_a_recipe_and_recipes_have_the_same_fields():
    assert {description.architecture for description in PRESETS.values()} == set(RECIPES)
    assert len({frozenset(recipe) for recipe in RECIPES.values()}) == 1


def test_a_micro_batch_larger_than_the_batch_is_refused():
    with (
        settings({"training": {"micro_batch_size": "64"}}),
        pytest.raises(UserError, match=r"micro_batch_size is 64, but batch_size.* is 32.*Raise batch_size"),
    ):
        training_settings()


def test_a_setting_that_gives_another_network_gives_another_run_and_a_limit_does_not():
    first = TrainModel().parameters()
    with settings({"training": {"seed": "1"}}):
        assert TrainModel().parameters() != first
    with settings({"training": {"max_steps": "6", "learning_rate": "0.0005"}}):
        assert TrainModel().parameters() == first


def test_each_setting_of_a_training_is_a_key_with_its_default_unless_the_recipe_has_it():
    keys = training().param_kwargs
    declared = {**settings_of(TrainingJob), **settings_of(RunOptions)}
    assert set(keys) == set(declared)
    defaults = vars(TrainingJob("", "", "")) | vars(RunOptions())
    from_recipe = set(RECIPES["vapsr"])
    assert {name: keys[name] for name in keys if name not in from_recipe} == {
        name: defaults[name] for name in declared if name not in from_recipe
    }
    assert all(keys[name] in (None, "") for name in from_recipe)


@pytest.mark.parametrize(
    ("key", "value"),
    [("batch_size", "0"), ("ema_decay", "1"), ("precision", "fp8"), ("milestone_factor", "0")],
)
def test_a_key_out_of_range_is_refused_where_it_is_read(key, value):
    with settings({"training": {key: value}}), pytest.raises(ValueError, match=rf"{value}|{key}"):
        training()


def test_initial_weights_give_another_run_and_without_them_nothing_changes(tmp_path):
    plain = TrainModel().parameters()
    assert "initial_weights" not in plain
    with settings({"model": {"preset": "realtime-x2", "initial_weights": "realtime-x2"}}):
        found = TrainModel()
        assert found.parameters()["initial_weights"] == found.job().initial_weights
    with (
        settings({"model": {"initial_weights": str(tmp_path / "none.pth")}}),
        pytest.raises(UserError, match=r"none\.pth, but no such file exists"),
    ):
        TrainModel().parameters()
