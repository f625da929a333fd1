"""The parameters that several tasks share, each declared once in a section of luigi.cfg.

On the command line a parameter is named after its section: `size_px` of `[crops]` is `--crops-size-px`. The sections
[model] and [training] are in `tasks.training_config`, and [store] is in `tasks.runtime.store`.
"""

import luigi

from data.imaging.decode import ALPHAS
from data.video.sampling_settings import FrameSamplingSettings
from pipeline.crop_policies import POLICIES
from sr.evaluation.protocols import PROTOCOLS
from sr.export.settings import PRECISIONS
from tasks.runtime.parameters import (
    ChoiceListParameter,
    ChoiceParameter,
    FloatParameter,
    IntListParameter,
    IntParameter,
    Size,
    SizeListParameter,
    StrListParameter,
)

MIN_SCALE, MAX_SCALE = 2, 8
"""Scales that images and videos can be upscaled by."""
UNKNOWN_LICENSE = "unknown"
AUTO_STREAMS = -1
"""The number of streams that leaves the choice to the device; `auto` in luigi.cfg."""
_MAX_SIZE_PX = 16_384
_SAMPLING = FrameSamplingSettings()


class crops(luigi.Config):
    """How images become crops, and which crops are rejected. A quality threshold of 0 turns its filter off."""

    size_px: int = IntParameter(
        default=512, at_least=16, at_most=8192, description="side of the square crops, pixels"
    )
    policy: str = ChoiceParameter(
        default="random",
        choices=POLICIES,
        description="where crops are cut: as many random boxes as fit, a regular grid, or the max_crops_per_image most "
        "detailed boxes",
    )
    downscale_factors: tuple[int, ...] = IntListParameter(
        default=(1, 2, 4),
        at_least=1,
        min_items=1,
        description="factors that images are downscaled by before cropping, separated by commas; "
        "doubled for lossy images",
    )
    max_crops_per_image: int = IntParameter(
        default=0, at_least=0, description="maximum number of crops from one image; 0: no limit"
    )
    grid_step_px: int = IntParameter(
        default=512, at_least=1, description="policy grid: distance from one crop to the next, pixels"
    )
    grid_min_rest_px: int = IntParameter(
        default=0,
        at_least=0,
        description="policy grid: a strip at the far edge that is wider than this gets a crop of its own, pixels",
    )
    max_megapixels: float = FloatParameter(
        default=134.0,
        above=0,
        description="larger images are rejected; a process needs about 5 MB of memory a megapixel, "
        "17 MB for TIFF and 16 bits",
    )
    validation_fraction: float = FloatParameter(
        default=0.02,
        at_least=0,
        below=1,
        description="fraction of the images that goes to the validation split",
    )
    group: str = luigi.Parameter(
        default="image",
        description="images of a path that stay on one side of the split: image (each alone), folder, or an expression "
        "whose one group names them, as in (shot[0-9]+); a catalog file has its own",
    )
    crops_per_shard: int = IntParameter(
        default=1000, at_least=1, description="approximate number of crops in a shard"
    )
    seed: int = luigi.IntParameter(
        default=0, description="seed of the crop boxes, the validation split and the order of the shards"
    )
    image_format: str = ChoiceParameter(
        default="png", choices=["png", "jpg"], description="file format of the stored crops"
    )
    png_effort: str = ChoiceParameter(
        default="fast",
        choices=["fast", "balanced", "small"],
        description="PNG compression, from fastest to smallest; make bench has the figures",
    )
    jpeg_quality: int = IntParameter(default=95, at_least=1, at_most=100, description="quality of JPEG crops")
    min_contrast: float = FloatParameter(
        default=2.0, at_least=0, description="crops of less contrast are rejected, levels of 255; 0: off"
    )
    min_sharpness: float = FloatParameter(
        default=0.6, at_least=0, description="crops of less detail are rejected, levels of 255; 0: off"
    )
    max_underexposed: float = FloatParameter(
        default=0.98,
        at_least=0,
        at_most=1,
        description="largest fraction of near-black pixels without detail in a crop; 0: off",
    )
    max_overexposed: float = FloatParameter(
        default=0.98,
        at_least=0,
        at_most=1,
        description="largest fraction of near-white pixels without detail in a crop; 0: off",
    )
    max_border_px: int = IntParameter(
        default=8,
        at_least=0,
        description="crops with more lines of one color than this at an edge are rejected; 0: off",
    )
    max_repeated_lines: float = FloatParameter(
        default=0.15,
        at_least=0,
        at_most=1,
        description="largest fraction of rows or columns that repeat the one before, as in a mosaic; 0: off",
    )
    max_equal_neighbors: float = FloatParameter(
        default=0.4,
        at_least=0,
        at_most=1,
        description="largest fraction of equal neighbors beside edges, as in text and drawings; 0: off",
    )
    max_bhi_blockiness: float = FloatParameter(
        default=30.0,
        at_least=0,
        description="how much less the coefficients of JPEG's blocks may vary than others, summed over 64; 0: off",
    )
    max_comb_db: float = FloatParameter(
        default=2.5,
        at_least=0,
        description="how far the Nyquist frequency of columns may stand out, as in interlaced frames, dB; 0: off",
    )
    min_high_band_db: float = FloatParameter(
        default=-9.0,
        at_least=-40,
        at_most=0,
        description="crops with less in the highest frequencies, in relation to the middle ones, are rejected as "
        "upscaled, dB; 0: off",
    )
    max_banding: float = FloatParameter(
        default=20.0,
        at_least=0,
        description="crops with more steps between flat runs in 1000 pixels are rejected; 0: off",
    )
    max_noise: float = FloatParameter(
        default=6.0, at_least=0, description="crops of more noise are rejected, levels of 255; 0: off"
    )
    alpha: str = ChoiceParameter(
        default="refuse",
        choices=ALPHAS,
        description="what happens to transparent images: they are rejected, or composited over black or white",
    )
    max_bad_fraction: float = FloatParameter(
        default=0.01,
        at_least=0,
        at_most=1,
        description="fraction of damaged images above which a dataset fails",
    )


class video(luigi.Config):
    """Which frames of a video become images."""

    min_spacing_s: float = FloatParameter(
        default=_SAMPLING.min_spacing_s,
        above=0,
        description="shortest time between two sampled frames, seconds",
    )
    typical_spacing_s: float = FloatParameter(
        default=_SAMPLING.typical_spacing_s,
        above=0,
        description="most frequent time between two sampled frames, seconds",
    )
    max_spacing_s: float = FloatParameter(
        default=_SAMPLING.max_spacing_s,
        above=0,
        at_most=86_400,
        description="longest time between two sampled frames, seconds",
    )
    seed: int = luigi.IntParameter(default=_SAMPLING.seed, description="seed of the spacings")

    def settings(self) -> FrameSamplingSettings:
        """Return the section as the source of videos takes it.

        Raises:
            UserError: the three spacings are not in ascending order.
        """
        settings = FrameSamplingSettings(
            self.min_spacing_s, self.typical_spacing_s, self.max_spacing_s, self.seed
        )
        settings.check()
        return settings


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
    lpips: bool = luigi.BoolParameter(
        default=False, description="also measure LPIPS; its weights are downloaded (244 MB)"
    )
    tile_px: int = IntParameter(
        default=1024,
        at_least=0,
        description="side of the LR tiles that a network processes at once; 0: whole images",
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
        default=128, at_least=1, description="number of training crops that calibrate int8"
    )
    held_out_crops: int = IntParameter(
        default=32, at_least=1, description="number of validation crops that int8 is evaluated on"
    )
    int8_loss_db: float = FloatParameter(
        default=0.0,
        at_least=0,
        description="PSNR that int8 may lose against fp32, dB; 0: 0.1 for VapSR, 0.2 for realtime",
    )
    search_trials: int = IntParameter(
        default=24,
        at_least=0,
        description="maximum number of further quantizations, with more layers in floating point, where "
        "int8 loses too much",
    )
    seed: int = luigi.IntParameter(default=0, description="seed of the choice of crops")


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
