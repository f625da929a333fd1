"""The sections [crops] and [video] of luigi.cfg: how images become crops, and which frames of videos become images."""

import luigi

from data.imaging.decode import ALPHAS
from data.video.sampling_settings import FrameSamplingSettings
from pipeline.crop_policies import POLICIES
from tasks.runtime.list_parameters import IntListParameter
from tasks.runtime.parameters import ChoiceParameter, FloatParameter, IntParameter

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
