"""The sections [model] and [training] of luigi.cfg: which network is trained, and how.

[training] has the settings of `TrainingJob` and `RunOptions`; what is empty comes from the recipe of the preset,
`sr.training.recipes`.
"""

import dataclasses
import types
from pathlib import Path
from typing import Any

import luigi

from data.errors import UserError
from data.file_names import escape_name, is_file
from data.user_paths import expand_home
from sr.models.box import BOX_MODELS, find_box_weights
from sr.models.model_contents import refuse_other_content
from sr.models.presets import ModelDescription, describe
from sr.training.job import RunOptions, TrainingJob
from sr.training.recipes import RECIPES, apply_recipe
from sr.training.settings import CHANGEABLE_FIELDS, check_settings
from tasks.runtime.parameters import ChoiceParameter
from tasks.runtime.setting_parameters import parameters_of


class model(luigi.Config):
    """Which network is trained."""

    preset: str = luigi.Parameter(
        default="vapsr3x3-x2",
        description="name of the network and its scale, see docs/explanation/networks.md",
    )
    color_space: str = ChoiceParameter(
        default="",
        choices=["", "rgb", "ycbcr-601", "ycbcr-709", "oklab"],
        description="color space that the network works in; empty: the preset's",
    )
    initial_weights: str = luigi.Parameter(
        default="",
        description=f"weights to begin with: {', '.join(BOX_MODELS)}, or a path to .pth .safetensors; empty: random",
    )
    reparameterize: str = ChoiceParameter(
        default="",
        choices=["", "on", "off"],
        description="train 3x3 convolutions as several parallel branches that are fused afterward; empty: the preset's",
    )


_FROM_RECIPE = frozenset(field for recipe in RECIPES.values() for field in recipe)
_PARAMETERS = {
    **parameters_of(TrainingJob, _FROM_RECIPE, "the preset's"),
    **parameters_of(RunOptions),
}
_BODY = {"__doc__": "How the network is trained.", "__module__": __name__, **_PARAMETERS}
training: Any = types.new_class("training", (luigi.Config,), exec_body=lambda names: names.update(_BODY))


def describe_model() -> ModelDescription:
    """Return the network that [model] describes.

    Raises:
        UserError: there is no such preset, or the network has no use for one of the other choices.
    """
    section = model()
    return describe(section.preset, section.color_space, section.reparameterize)


def find_initial_weights() -> Path | None:
    """Return the file of the weights that [model] says to begin with; None for random ones.

    Raises:
        UserError: there is no such file, or it is none of weights.
    """
    name = model().initial_weights
    if not name:
        return None
    path = find_box_weights(name) or expand_home(name)
    if not is_file(path):
        raise UserError(
            f"[model] initial_weights is {escape_name(name)}, but no such file exists",
            f"Check the path; it may also be {', '.join(BOX_MODELS)}",
        )
    refuse_other_content(path)
    return path


def training_settings(preset: str = "") -> dict[str, Any]:
    """Return what [training] says of the result, with the preset's recipe for what it leaves empty.

    Args:
        preset: the network; empty: that of [model].

    Raises:
        UserError: a value is invalid, or two values exclude each other.
    """
    settings = apply_recipe(preset or model().preset, _fields_of(TrainingJob))
    job = TrainingJob(preset="", selection="", selection_hash="", **settings)
    check_settings(job, training().micro_batch_size)
    return settings


def run_options(lpips_weights: str) -> RunOptions:
    """Return what [training] says of how the run is carried out.

    Args:
        lpips_weights: directory of the weights of LPIPS; empty where the loss has no such term.
    """
    return RunOptions(**_fields_of(RunOptions), lpips_weights=lpips_weights)


def changeable_settings() -> dict[str, Any]:
    """Return the settings that may change while a run goes on."""
    settings = training_settings()
    return {name: settings[name] for name in CHANGEABLE_FIELDS}


def _fields_of(record: type[TrainingJob | RunOptions]) -> dict[str, Any]:
    """Return the parameters of [training] that are fields of a record, by name."""
    section = training()
    names = {field.name for field in dataclasses.fields(record)}
    return {name: value for name, value in section.param_kwargs.items() if name in names}
