"""The parameters that several tasks share, each declared once in a section of luigi.cfg.

On the command line a parameter is named after its section: `size_px` of `[crops]` is `--crops-size-px`. Other
sections: [crops] and [video] in `tasks.crops_config`, [model] and [training] in `tasks.training_config`, [selection] in
`tasks.selection_config`, [store] in `tasks.runtime.store`.
"""

import luigi

from sr.evaluation.protocols import PROTOCOLS
from sr.export.settings import PRECISIONS
from tasks.runtime.list_parameters import (
    ChoiceListParameter,
    IntListParameter,
    SizeListParameter,
    StrListParameter,
)
from tasks.runtime.parameters import BoolParameter, ChoiceParameter, FloatParameter, IntParameter, Size

MIN_SCALE, MAX_SCALE = 2, 8
"""Scales that images and videos can be upscaled by."""
UNKNOWN_LICENSE = "unknown"
AUTO_STREAMS = -1
"""The number of streams that leaves the choice to the device; `auto` in luigi.cfg."""
_MAX_SIZE_PX = 16_384


class evaluation(luigi.Config):
    """How models are evaluated."""

    benchmarks: tuple[str, ...] = StrListParameter(
        default=("Set5", "Set14"),
        min_items=1,
        description="benchmark datasets: names or paths, separated by commas",
    )
    protocol: str = ChoiceParameter(
        default="pillow",
        choices=PROTOCOLS,
        description="evaluation protocol, see docs/explanation/evaluation.md",
    )
    channel: str = ChoiceParameter(
        default="",
        choices=["", "rgb", "y"],
        description="channel that is compared, y being the luma of BT.601; empty: the protocol's",
    )
    degradation: str = luigi.Parameter(
        default="",
        description="how LR images are made, see docs/explanation/evaluation.md; empty: the protocol's",
    )
    border_px: int = IntParameter(
        default=-1, at_least=-1, description="border that is cropped before measuring, pixels; -1: the scale"
    )
    rounding: str = ChoiceParameter(
        default="",
        choices=["", "output", "luma", "classic"],
        description="what is rounded to 8 bits, see docs/explanation/evaluation.md; empty: the protocol's",
    )
    modcrop: int = IntParameter(
        default=0,
        at_least=0,
        description="HR images are cropped to a multiple of this, pixels; 0: the protocol's",
    )
    lpips: bool = BoolParameter(
        default=False, description="also measure LPIPS; its weights are downloaded (244 MB)"
    )
    tile_px: int = IntParameter(
        default=1024,
        at_least=0,
        description="side of the LR tiles that a network processes at once; 0: whole images",
    )
    device: str = luigi.Parameter(
        default="",
        description="what a model runs on: CPU, or CUDA for weights, or GPU, NPU or AUTO for an IR; empty: CPU, and "
        "for weights CUDA if there is one",
    )


class export(luigi.Config):
    """How the model is exported."""

    license: str = luigi.Parameter(
        default=UNKNOWN_LICENSE, description="license of the weights, written into the exported files"
    )
    precision: str = ChoiceParameter(
        default="fp16", choices=PRECISIONS, description="precision of the OpenVINO IR"
    )
    calibration_crops: int = IntParameter(
        default=0,
        at_least=0,
        description="number of crops that calibrate int8; 0: 128 for realtime, 32 for other networks",
    )
    held_out_crops: int = IntParameter(
        default=32, at_least=1, description="number of other crops that int8 is evaluated on"
    )
    int8_loss_db: float = FloatParameter(
        default=0.0,
        at_least=0,
        description="PSNR that int8 may lose against fp32, dB; 0: 0.1 for VapSR, 0.2 for realtime",
    )
    search_trials: int = IntParameter(
        default=4,
        at_least=0,
        description="maximum number of further quantizations, with more layers in floating point, where "
        "int8 loses too much",
    )
    int8_finetune_steps: int = IntParameter(
        default=0,
        at_least=0,
        description="steps in which the weights of int8 are fine-tuned so that it loses less; 0: none",
    )
    seed: int = luigi.IntParameter(
        default=0, description="seed of the choice of crops, and of the patches of fine-tuning"
    )


class upscaling(luigi.Config):
    """How images and videos are upscaled."""

    device: str = luigi.Parameter(
        default="CPU", description="OpenVINO device: CPU, GPU, NPU or AUTO; GPU.1 is the second of several"
    )
    memory_mb: int = IntParameter(
        default=1500, at_least=1, description="memory that the process stays near; it sets the tile size"
    )
    stall_timeout_s: float = FloatParameter(
        default=300.0, at_least=0, description="a video that gets nowhere for so many seconds fails; 0: never"
    )


class speed(luigi.Config):
    """What BenchmarkModel measures."""

    sizes: tuple[Size, ...] = SizeListParameter(
        default=((256, 256), (540, 960), (720, 1280)),
        min_items=1,
        max_side_px=_MAX_SIZE_PX,
        description="sizes of the LR image, WIDTHxHEIGHT, separated by commas",
    )
    precisions: tuple[str, ...] = ChoiceListParameter(
        default=(),
        choices=PRECISIONS,
        description="empty: all, but int8 of a weights file only where it is already exported",
    )
    devices: tuple[str, ...] = StrListParameter(
        default=(),
        description="OpenVINO devices (CPU, GPU, NPU, AUTO), separated by commas; empty: all that are present",
    )
    streams: tuple[int, ...] = IntListParameter(
        default=(1, AUTO_STREAMS),
        at_least=1,
        auto=AUTO_STREAMS,
        description="numbers of parallel requests for throughput, separated by commas; auto: the device's "
        "choice; empty: none",
    )
    seconds: float = FloatParameter(
        default=2.0,
        above=0,
        description="time to measure each row, seconds; at least 5 rounds whatever they take",
    )
