"""The sections [model] and [training] of luigi.cfg: which network is trained, and how.

The defaults of [training] are those of `TrainingJob` and `RunOptions`, which explain each in more detail; what is empty
comes from the recipe of the preset, `sr.training.recipes`.
"""

import dataclasses
from typing import Any

import luigi

from sr.models.presets import ModelDescription, describe
from sr.training.job import RunOptions, TrainingJob
from sr.training.recipes import apply_recipe
from sr.training.schedule import SCHEDULES
from sr.training.settings import (
    CACHE_PLACES,
    CHANGEABLE_FIELDS,
    DECODERS,
    MONITOR_METRICS,
    PRECISIONS,
    check_micro_batch,
    check_settings,
)
from tasks.runtime.optional_parameters import OptionalFloatParameter, OptionalIntParameter
from tasks.runtime.parameters import BoolParameter, ChoiceParameter, FloatParameter, IntParameter

_JOB = TrainingJob(preset="", selection="", selection_hash="")
_OPTIONS = RunOptions()


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
    reparameterize: str = ChoiceParameter(
        default="",
        choices=["", "on", "off"],
        description="train 3x3 convolutions as several parallel branches that are fused afterward; empty: the preset's",
    )


class training(luigi.Config):
    """How the network is trained."""

    seed: int = luigi.IntParameter(
        default=_JOB.seed, description="seed of the weights, the order of the crops and the augmentation"
    )
    patch_px: int = IntParameter(
        default=_JOB.patch_px,
        at_least=1,
        description="side of the HR patch that is cut from each crop, pixels",
    )
    patch_stages: str = luigi.Parameter(
        default=_JOB.patch_stages,
        description="smaller patches at the start, as SIDE:FRACTION of all steps, e.g. 64:0.5,128:0.3; "
        "empty: patch_px throughout",
    )
    batch_size: int = IntParameter(
        default=_JOB.batch_size,
        at_least=1,
        description="patches of an optimizer step, over all devices",
    )
    patches_per_image: int = IntParameter(
        default=_JOB.patches_per_image,
        at_least=1,
        description="patches cut from each crop of a step; must divide batch_size. More save decoding where crop_cache "
        "is off",
    )
    loss: str = luigi.Parameter(
        default=_JOB.loss,
        description="l1, charbonnier, mse, frequency, lpips, or a weighted sum such as l1:1+frequency:0.05",
    )
    learning_rate: float | None = OptionalFloatParameter(
        default=None, at_least=0, description="learning rate after warm-up; empty: the preset's"
    )
    beta1: float = FloatParameter(
        default=_JOB.beta1, at_least=0, below=1, description="AdamW's decay of the mean of the gradients"
    )
    beta2: float = FloatParameter(
        default=_JOB.beta2,
        at_least=0,
        below=1,
        description="AdamW's decay of the mean of the squared gradients",
    )
    weight_decay: float | None = OptionalFloatParameter(
        default=None, at_least=0, description="AdamW's weight decay; empty: the preset's"
    )
    max_grad_norm: float = FloatParameter(
        default=_JOB.max_grad_norm,
        at_least=0,
        description="gradients are clipped to this norm; 0: no clipping",
    )
    warmup_steps: int | None = OptionalIntParameter(
        default=None,
        at_least=0,
        description="optimizer steps over which the learning rate rises linearly; empty: the preset's",
    )
    schedule: str = ChoiceParameter(
        default="",
        choices=["", *SCHEDULES],
        description="learning rate after warm-up: constant, falling to learning_rate_min at max_steps along a cosine, "
        "or falling at milestones (multistep); empty: the preset's",
    )
    learning_rate_min: float | None = OptionalFloatParameter(
        default=None,
        at_least=0,
        description="the learning rate does not fall below this after warm-up; empty: the preset's",
    )
    milestones: str = luigi.Parameter(
        default=_JOB.milestones,
        description="for multistep: fractions of all steps after which the learning rate falls",
    )
    milestone_factor: float = FloatParameter(
        default=_JOB.milestone_factor,
        at_least=0,
        at_most=1,
        description="for multistep: the learning rate is multiplied by it at each milestone",
    )
    max_epochs: int = IntParameter(
        default=_JOB.max_epochs, at_least=1, description="training ends after this many epochs"
    )
    max_steps: int | None = OptionalIntParameter(
        default=None,
        at_least=0,
        description="training ends after this many optimizer steps; 0: no limit; empty: the preset's",
    )
    steps_per_epoch: int = IntParameter(
        default=_JOB.steps_per_epoch,
        at_least=0,
        description="optimizer steps from one validation to the next; 0: one pass over the training split",
    )
    max_hours: float = FloatParameter(
        default=_JOB.max_hours,
        at_least=0,
        description="training ends after this many hours, summed over all resumptions; 0: no limit",
    )
    patience_epochs: int = IntParameter(
        default=_JOB.patience_epochs,
        at_least=1,
        description="training ends after this many epochs without improvement",
    )
    monitor: str = ChoiceParameter(
        default=_JOB.monitor,
        choices=MONITOR_METRICS,
        description="validation metric that selects the best weights",
    )
    precision: str = ChoiceParameter(
        default=_JOB.precision,
        choices=PRECISIONS,
        description="precision of the convolutions during training; fp32 is without TF32",
    )
    compile: bool = BoolParameter(
        default=_JOB.compile, description="compile network and loss with torch.compile where that works"
    )
    ema_decay: float | None = OptionalFloatParameter(
        default=None,
        at_least=0,
        below=1,
        description="decay of an exponential moving average of the weights, reached by a ramp, e.g. 0.999; 0: no "
        "average; empty: the preset's",
    )
    flip_probability: float | None = OptionalFloatParameter(
        default=None,
        at_least=0,
        at_most=1,
        description="probability that a patch is mirrored; empty: the preset's",
    )
    rotate_probability: float | None = OptionalFloatParameter(
        default=None,
        at_least=0,
        at_most=1,
        description="probability that a patch is rotated by 90, 180 or 270 degrees; empty: the preset's",
    )
    brightness_probability: float | None = OptionalFloatParameter(
        default=None,
        at_least=0,
        at_most=1,
        description="probability that a patch is made darker or brighter; empty: the preset's",
    )
    brightness_min: float = FloatParameter(
        default=_JOB.brightness_min, at_least=0, description="smallest factor on the brightness"
    )
    brightness_max: float = FloatParameter(
        default=_JOB.brightness_max, at_least=0, description="largest factor on the brightness"
    )
    degradation: str = luigi.Parameter(
        default=_JOB.degradation,
        description="how LR patches are made: bicubic, then any of blur, noise, jpeg, codec, h264, hevc and "
        "av1, each as NAME:MIN-MAX@PROBABILITY",
    )

    # Options of the run: fields of RunOptions, which do not change the result.
    world_size: int = IntParameter(
        default=_OPTIONS.world_size,
        at_least=0,
        description="number of processes; 0: one for each GPU, as many as share the batch evenly",
    )
    hostfile: str = luigi.Parameter(
        default=_OPTIONS.hostfile,
        description="DeepSpeed's list of hosts for training on several, see docs/tutorials/several-machines.md",
    )
    micro_batch_size: int = IntParameter(
        default=_OPTIONS.micro_batch_size,
        at_least=0,
        description="patches that a device processes at once; 0: as many as fit",
    )
    decoder: str = ChoiceParameter(
        default=_OPTIONS.decoder,
        choices=DECODERS,
        description="what decodes crops; auto: DALI where it is installed, otherwise OpenCV",
    )
    crop_cache: str = ChoiceParameter(
        default=_OPTIONS.crop_cache,
        choices=CACHE_PLACES,
        description="where decoded crops are kept; disk: in a file of the run; auto: the first of memory, disk and off "
        "with room",
    )
    num_workers: int = IntParameter(
        default=0,
        at_least=0,
        description="CPU threads of each process that read and decode crops; 0: chosen by the machine",
    )
    save_every_s: float = FloatParameter(
        default=_OPTIONS.save_every_s,
        at_least=0,
        description="time between two checkpoints within an epoch, seconds",
    )
    save_every_steps: int = IntParameter(
        default=_OPTIONS.save_every_steps,
        at_least=0,
        description="optimizer steps between two checkpoints, in addition to save_every_s; 0: none",
    )
    save_total_limit: int = IntParameter(
        default=_OPTIONS.save_total_limit,
        at_least=1,
        description="number of newest checkpoints to keep, besides that of the best epoch",
    )


def describe_model() -> ModelDescription:
    """Return the network that [model] describes.

    Raises:
        UserError: there is no such preset, or the network has no use for one of the other choices.
    """
    section = model()
    return describe(section.preset, section.color_space, section.reparameterize)


def training_settings() -> dict[str, Any]:
    """Return what [training] says of the result, with the preset's recipe for what it leaves empty.

    Raises:
        UserError: a value is invalid, or two values exclude each other.
    """
    settings = apply_recipe(model().preset, _fields_of(TrainingJob))
    job = TrainingJob(preset="", selection="", selection_hash="", **settings)
    check_settings(job)
    check_micro_batch(job, training().micro_batch_size)
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
