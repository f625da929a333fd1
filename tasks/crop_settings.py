"""[crops] as the planner and the packer take it."""

import dataclasses

from pipeline import crop_plan, pack
from pipeline.quality_filters import QualityThresholds
from tasks.crops_config import crops


def plan_settings() -> crop_plan.PlanSettings:
    """Return [crops] as the planner takes it, but for the group, which the catalog may have."""
    section = crops()
    return crop_plan.PlanSettings(
        policy=section.policy,
        size_px=section.size_px,
        downscale_factors=tuple(sorted(set(section.downscale_factors))),
        max_crops_per_image=section.max_crops_per_image,
        grid_step_px=section.grid_step_px,
        grid_min_rest_px=section.grid_min_rest_px,
        max_pixels=int(section.max_megapixels * 1e6),
        validation_fraction=section.validation_fraction,
        crops_per_shard=section.crops_per_shard,
        seed=section.seed,
    )


def pack_settings() -> pack.PackSettings:
    """Return [crops] as the packer takes it."""
    section = crops()
    thresholds = {field.name: getattr(section, field.name) for field in dataclasses.fields(QualityThresholds)}
    return pack.PackSettings(
        plan=plan_settings(),
        image_extension=section.image_format,
        png_effort=section.png_effort,
        jpeg_quality=section.jpeg_quality,
        thresholds=QualityThresholds(**thresholds),
    )
