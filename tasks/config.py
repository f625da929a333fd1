"""The parameters that several tasks share, each declared once as a section of luigi.cfg.

A section's parameter is set on the command line in Luigi's own way: `root` of `[store]` is `--store-root DIR`.
"""

import dataclasses
import math
from typing import Any

import luigi
from luigi.interface import core

from data.cpu_count import usable_cores
from data.errors import UserError
from data.imaging.decode import ALPHAS
from data.records import TrainingConduct, TrainingJob
from data.video.sampling_settings import VideoSettings
from sr.training.settings import WATCHED


class store(luigi.Config):
    """Where everything that a run makes lives."""

    root = luigi.Parameter(default="work", description="directory of the store; made if it is missing")
    catalog = luigi.Parameter(
        default="", description="a folder of catalog files of your own, see docs/datasets.md"
    )
    archives = luigi.Parameter(
        default="", description="folders of archives that are on disk already, with commas between them"
    )
    connections = luigi.IntParameter(default=4, description="to one server at once while downloading")


class crops(luigi.Config):
    """How images become crops."""

    size_px = luigi.IntParameter(default=512, description="side of the square crops")
    policy = luigi.ChoiceParameter(
        default="random",
        choices=["random", "grid", "best"],
        description="as many random boxes as fit; a regular grid; or the max_crops_per_image boxes of most detail",
    )
    downscale_factors = luigi.Parameter(
        default="1,2,4", description="reductions to crop at; doubled for lossy images"
    )
    max_crops_per_image = luigi.IntParameter(
        default=0, description="crops of one image at the most; 0: no limit"
    )
    grid_step_px = luigi.IntParameter(default=512, description="under grid: from one crop to the next")
    grid_min_rest_px = luigi.IntParameter(
        default=0, description="under grid: a larger rest gets a crop of its own"
    )
    max_megapixels = luigi.FloatParameter(
        default=134.0,
        description="larger images are rejected; a process needs about 5 MB a megapixel, 17 for TIFF and 16 bits",
    )
    validation_fraction = luigi.FloatParameter(default=0.02, description="share of the images that validates")
    crops_per_shard = luigi.IntParameter(default=1000, description="about how many crops a shard holds")
    seed = luigi.IntParameter(default=0, description="of the boxes, the split and the spread over shards")
    image_format = luigi.ChoiceParameter(
        default="png", choices=["png", "jpg"], description="of the stored crops"
    )
    png_effort = luigi.ChoiceParameter(
        default="fast",
        choices=["fast", "balanced", "small"],
        description="time against bytes; make bench has the figures",
    )
    jpeg_quality = luigi.IntParameter(default=95, description="1 to 100, for jpg")
    min_contrast = luigi.IntParameter(
        default=200, description="least contrast, hundredths of a level; 0: off"
    )
    min_sharpness = luigi.IntParameter(default=60, description="least detail, hundredths of a level; 0: off")
    max_underexposed = luigi.IntParameter(default=900, description="near-black pixels, thousandths; 0: off")
    max_overexposed = luigi.IntParameter(default=900, description="near-white pixels, thousandths; 0: off")
    max_blockiness = luigi.IntParameter(
        default=750, description="how far JPEG's blocks stand out, thousandths; 0: off"
    )
    max_noise = luigi.IntParameter(default=2000, description="noise, hundredths of a level; 0: off")
    max_border_px = luigi.IntParameter(default=8, description="black lines at an edge, pixels; 0: off")
    alpha = luigi.ChoiceParameter(
        default="refuse",
        choices=ALPHAS,
        description="transparent images: refused, or laid over black or white",
    )
    max_bad_fraction = luigi.FloatParameter(default=0.01, description="share of damaged images that is borne")

    def check(self) -> None:
        """Refuse numbers that are none; `PlanSettings.check` and the packer look at the others.

        Raises:
            UserError: which one, and what it must be.
        """
        for name, holds, expected in (
            ("max_megapixels", 0 < self.max_megapixels < math.inf, "a number of megapixels above 0"),
            ("max_bad_fraction", 0 <= self.max_bad_fraction <= 1, "from 0 to 1"),
        ):
            if not holds:
                remedy = "mend it in luigi.cfg or on the command line"
                raise UserError(expected, repr(getattr(self, name)), f"[crops] {name}", remedy)


_VIDEOS = VideoSettings()


class video(luigi.Config):
    """Which frames of videos are taken."""

    min_spacing_s = luigi.FloatParameter(
        default=_VIDEOS.min_spacing_s, description="seconds between frames that are taken, at least"
    )
    typical_spacing_s = luigi.FloatParameter(
        default=_VIDEOS.typical_spacing_s, description="the commonest of them"
    )
    max_spacing_s = luigi.FloatParameter(default=_VIDEOS.max_spacing_s, description="the same, at most")
    seed = luigi.IntParameter(default=_VIDEOS.seed, description="of the intervals")

    def settings(self) -> VideoSettings:
        """Return them as the source of videos wants them.

        Raises:
            UserError: they make no sense.
        """
        settings = VideoSettings(self.min_spacing_s, self.typical_spacing_s, self.max_spacing_s, self.seed)
        settings.check()
        return settings


class selection(luigi.Config):
    """Which crops are trained on."""

    datasets = luigi.Parameter(default="DIV2K", description="names or paths, with commas between them")
    near_duplicate_bits = luigi.IntParameter(
        default=2, description="of 64 hash bits, that may differ; -1: off"
    )
    leakage_bits = luigi.IntParameter(
        default=4, description="the same, of images against benchmarks; -1: off"
    )
    min_sharpness = luigi.IntParameter(
        default=0, description="hundredths of a level, see pipeline/quality_metrics.py"
    )
    max_train = luigi.IntParameter(default=0, description="training crops at the most; 0: all")
    max_validation = luigi.IntParameter(default=256, description="validation crops at the most; 0: all")
    seed = luigi.IntParameter(default=0, description="of choices and of the order")


class model(luigi.Config):
    """Which network is trained."""

    preset = luigi.Parameter(default="vapsr3x3-x2", description="a name of sr.models.PRESETS")
    color_space = luigi.Parameter(
        default="", description="rgb, ycbcr-601, ycbcr-709 or oklab, inside the network; empty: the preset's"
    )
    reparameterize = luigi.ChoiceParameter(
        default="",
        choices=["", "on", "off"],
        description="learn 3x3 kernels as sums of branches, fused afterward; empty: the preset's",
    )


_JOB = {field.name: field.default for field in dataclasses.fields(TrainingJob)}
_CONDUCT = {field.name: field.default for field in dataclasses.fields(TrainingConduct)}


class training(luigi.Config):
    """How it is trained; the defaults are those of data.records.TrainingJob, which explains each."""

    seed = luigi.IntParameter(default=_JOB["seed"])
    patch_px = luigi.IntParameter(default=_JOB["patch_px"])
    patch_stages = luigi.Parameter(default=_JOB["patch_stages"])
    micro_batch_size = luigi.IntParameter(default=_JOB["micro_batch_size"])
    patches_per_image = luigi.IntParameter(default=_JOB["patches_per_image"])
    gradient_accumulation_steps = luigi.IntParameter(default=_JOB["gradient_accumulation_steps"])
    loss = luigi.Parameter(
        default=_JOB["loss"],
        description="l1, charbonnier, mse, frequency, lpips, or a weighted sum: l1:1+frequency:0.05",
    )
    learning_rate = luigi.FloatParameter(default=_JOB["learning_rate"])
    beta1 = luigi.FloatParameter(default=_JOB["beta1"])
    beta2 = luigi.FloatParameter(default=_JOB["beta2"])
    weight_decay = luigi.FloatParameter(default=_JOB["weight_decay"])
    max_grad_norm = luigi.FloatParameter(default=_JOB["max_grad_norm"])
    warmup_steps = luigi.IntParameter(default=_JOB["warmup_steps"])
    schedule = luigi.ChoiceParameter(default=_JOB["schedule"], choices=["constant", "cosine"])
    max_epochs = luigi.IntParameter(default=_JOB["max_epochs"])
    max_steps = luigi.IntParameter(default=_JOB["max_steps"])
    steps_per_epoch = luigi.IntParameter(default=_JOB["steps_per_epoch"])
    max_hours = luigi.FloatParameter(
        default=_JOB["max_hours"], description="of training, all pieces together; 0: no limit"
    )
    patience_epochs = luigi.IntParameter(default=_JOB["patience_epochs"])
    monitor = luigi.ChoiceParameter(
        default=_JOB["monitor"], choices=WATCHED, description="what of the validation says what is best"
    )
    precision = luigi.ChoiceParameter(default=_JOB["precision"], choices=["fp32", "bf16", "fp16"])
    compile = luigi.BoolParameter(
        default=_JOB["compile"], description="network and loss by torch.compile, where that works"
    )
    ema_decay = luigi.FloatParameter(default=_JOB["ema_decay"])
    flip_probability = luigi.FloatParameter(default=_JOB["flip_probability"])
    rotate_probability = luigi.FloatParameter(default=_JOB["rotate_probability"])
    brightness_probability = luigi.FloatParameter(default=_JOB["brightness_probability"])
    brightness_min = luigi.FloatParameter(default=_JOB["brightness_min"])
    brightness_max = luigi.FloatParameter(default=_JOB["brightness_max"])
    degradation = luigi.Parameter(default=_JOB["degradation"])
    loader = luigi.ChoiceParameter(
        default="auto", choices=["auto", "dali", "torch"], description="auto: dali where it is installed"
    )

    # How it is carried out: fields of TrainingConduct, which have no part in the result.
    world_size = luigi.IntParameter(
        default=_CONDUCT["world_size"],
        description="processes; 0: one a GPU, as many as share the micro batches evenly",
    )
    hostfile = luigi.Parameter(
        default=_CONDUCT["hostfile"],
        description="DeepSpeed's list of hosts, for several, see docs/cluster.md",
    )
    threads = luigi.IntParameter(
        default=_CONDUCT["threads"], description="of each rank's loader; 0: what suits the machine"
    )
    save_every_s = luigi.FloatParameter(
        default=_CONDUCT["save_every_s"], description="seconds between states within an epoch"
    )
    save_every_steps = luigi.IntParameter(
        default=_CONDUCT["save_every_steps"], description="steps between states, beside the clock; 0: none"
    )
    save_total_limit = luigi.IntParameter(
        default=_CONDUCT["save_total_limit"],
        description="newest states that stay, beside that of the best epoch",
    )

    def values(self, kind: type) -> dict[str, Any]:
        """Return the parameters that are fields of a record of settings, by name."""
        named = {field.name for field in dataclasses.fields(kind)}
        return {name: getattr(self, name) for name, _ in self.get_params() if name in named}


UNKNOWN_LICENSE = "unknown"


class export(luigi.Config):
    """How the model is exported."""

    license = luigi.Parameter(default=UNKNOWN_LICENSE, description="of the weights; stands in the files")

    precision = luigi.ChoiceParameter(
        default="fp16", choices=["fp32", "fp16", "int8"], description="of the IR"
    )
    calibration_crops = luigi.IntParameter(default=128, description="training crops that calibrate int8")
    held_out_crops = luigi.IntParameter(default=32, description="validation crops that judge int8")
    int8_loss_db = luigi.FloatParameter(
        default=0.0, description="PSNR that int8 may lose; 0: 0.1 for VapSR, 0.2 for realtime"
    )
    search_trials = luigi.IntParameter(
        default=24, description="quantizations with more layers in float, at most, where that is missed"
    )
    seed = luigi.IntParameter(default=0, description="of the choice of crops")


class evaluation(luigi.Config):
    """How models are judged."""

    benchmarks = luigi.Parameter(default="Set5,Set14", description="names or paths, with commas between them")
    protocol = luigi.Parameter(default="pillow", description="a name of sr.evaluation.protocols")
    channel = luigi.ChoiceParameter(
        default="", choices=["", "rgb", "y"], description="rgb, or y of BT.601; empty: the protocol's own"
    )
    degradation = luigi.Parameter(
        default="", description="a name of sr.evaluation.degradation; empty: the protocol's own"
    )
    border_px = luigi.IntParameter(default=-1, description="cropped before measuring; -1: the scale")
    rounding = luigi.Parameter(
        default="", description="output, luma or classic: what is rounded; empty: the protocol's own"
    )
    modcrop = luigi.IntParameter(
        default=0, description="HR images are cut to a multiple of it, px; 0: the protocol's own"
    )
    lpips = luigi.BoolParameter(
        default=False, description="measure LPIPS too; its weights are downloaded (244 MB)"
    )
    tile_px = luigi.IntParameter(
        default=1024, description="low pixels a side that a network takes at once, by tiles; 0: any number"
    )


class upscaling(luigi.Config):
    """How images and videos are upscaled."""

    device = luigi.Parameter(
        default="CPU", description="that an IR runs on: CPU, GPU, NPU, AUTO; GPU.1 where there are several"
    )
    memory_mb = luigi.IntParameter(
        default=1500, description="what the side of tiles follows from; the process stays near it"
    )


class speed(luigi.Config):
    """What BenchmarkModel measures."""

    sizes = luigi.Parameter(
        default="256x256,960x540,1280x720", description="WIDTHxHEIGHT of the LR image, with commas between"
    )
    precisions = luigi.Parameter(
        default="", description="of fp32, fp16, int8; empty: all, of a file int8 only where it is exported"
    )
    devices = luigi.Parameter(default="", description="of CPU, GPU, NPU, AUTO; empty: all that are present")
    streams = luigi.Parameter(
        default="1,auto",
        description="requests side by side, with commas; auto: as the device likes; empty: none",
    )
    seconds = luigi.FloatParameter(
        default=2.0, description="for each row, at least 5 rounds whatever they take"
    )


def listed(text: str, section: str) -> list[str]:
    """Split a comma-separated parameter into its names.

    Raises:
        UserError: there is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(
            "at least one name or path", repr(text), section, "set it in luigi.cfg or on the command line"
        )
    return names


def threads(tasks: int = 0, place: int = 0) -> int:
    """Return how many threads or processes a task may use, so that all workers together fill the machine once.

    Args:
        tasks: of its kind; where there are fewer than workers, each gets more. 0: not known.
        place: of the task among them; the first ones get what can't be divided evenly.
    """
    workers = max(1, core().workers)
    at_once = min(workers, tasks or workers)
    each, rest = divmod(usable_cores(), at_once)
    return max(1, each + (tasks > 0 and place % at_once < rest))
