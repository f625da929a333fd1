"""Settings for tests: small crops, and no quality filter unless a test asks for one."""

from typing import Any

from pipeline.crop_plan import PlanSettings
from pipeline.pack import PackSettings
from pipeline.quality_filters import QualityThresholds


def plan_settings(**changes: Any) -> PlanSettings:
    """Return settings of the crop plan with these changes."""
    values = {
        "policy": "random",
        "size_px": 128,
        "downscale_factors": (1, 2),
        "max_crops_per_image": 0,
        "grid_step_px": 128,
        "grid_min_rest_px": 0,
        "max_pixels": 1 << 27,
        "validation_fraction": 0.0,
        "crops_per_shard": 1000,
        "seed": 0,
    }
    return PlanSettings(**values | changes)


def pack_settings(plan: PlanSettings | None = None, **changes: Any) -> PackSettings:
    """Return settings of the packer with these changes, for a plan with these settings."""
    values = {
        "plan": plan or plan_settings(),
        "image_extension": "png",
        "png_effort": "fast",
        "jpeg_quality": 95,
        "thresholds": QualityThresholds(),
    }
    return PackSettings(**values | changes)
