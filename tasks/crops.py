"""From an index to a crop dataset: PlanCrops, PackShard, MakeCrops."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import luigi

from data.errors import UserError
from data.progress import Progress, silent
from data.shards import ShardPaths, read_header
from pipeline import crop_plan, dataset, index, pack
from pipeline.quality_filters import ScreenSettings
from tasks.config import crops, threads
from tasks.download import DatasetTask, IndexSource
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask


class PlanCrops(DatasetTask):
    """Entries → crop plan: which boxes of which image, in which shard."""

    stage = "plans"
    format_version = 2
    record = crop_plan.RECORD

    def requires(self) -> IndexSource:
        """The index, of images that a crop could fit into."""
        self.settings().check()
        return IndexSource(dataset=self.dataset, least_side_px=crops().size_px)

    def settings(self) -> crop_plan.PlanSettings:
        """Return [crops] as the planner wants it."""
        section = crops()
        section.check()
        return crop_plan.PlanSettings(
            policy=section.policy,
            size_px=section.size_px,
            downscale_factors=_whole_numbers(section.downscale_factors, "[crops] downscale_factors"),
            max_crops_per_image=section.max_crops_per_image,
            grid_step_px=section.grid_step_px,
            grid_min_rest_px=section.grid_min_rest_px,
            largest_px=int(section.max_megapixels * 1e6),
            validation_fraction=section.validation_fraction,
            crops_per_shard=section.crops_per_shard,
            seed=section.seed,
        )

    def parameters(self) -> dict[str, Any]:
        """Return the settings, those of a grid only where there is one."""
        settings = self.settings()
        named = vars(settings) | {"downscale_factors": list(settings.downscale_factors)}
        return (
            named if settings.policy == "grid" else named | {"grid_step_px": None, "grid_min_rest_px": None}
        )

    def make(self) -> None:
        """Plan."""
        entries = index.Entries(self.requires().directory())
        crop_plan.write_plan(*crop_plan.plan_dataset(entries, self.settings(), self.name()), self.directory())

    def counts(self) -> str:
        """Return crops and shards."""
        shards = crop_plan.planned_shards(self.directory())
        return f"{sum(shard['crops'] for shard in shards)} crops in {len(shards)} shards"


class PackShard(DatasetTask):
    """Crop plan → one shard with its index, manifest and header."""

    shard = luigi.Parameter(description="the shard's name, e.g. train-000000")
    stage = "crops"

    @property
    def record(self) -> str:
        """The shard's header."""
        return f"manifest/{self.shard}.json"

    def requires(self) -> PlanCrops:
        """The plan."""
        return PlanCrops(dataset=self.dataset)

    def home(self) -> StoreTask:
        """Shards stand in their dataset's directory."""
        return MakeCrops(dataset=self.dataset)

    def make(self) -> None:
        """Pack."""
        plan_dir = self.requires().directory()
        planned = {shard["name"]: shard["crops"] for shard in crop_plan.planned_shards(plan_dir)}
        with stage(self, "crops", sum(planned.values())) as progress:
            pack.pack_shard(
                crop_plan.read_plan_shard(plan_dir, self.shard),
                self.requires().requires().source(),
                ShardPaths(self.directory(), self.shard),
                pack_settings(),
                processes=threads(len(planned), list(planned).index(self.shard)),
                progress=progress,
            )

    def counts(self) -> str:
        """Return the number of crops."""
        return f"{read_header(self.directory() / self.record).samples} crops"


class MakeCrops(DatasetTask):
    """Shards → a crop dataset with manifest, card, parquet and contact sheet."""

    stage = "crops"
    format_version = 4  # 4: the policy best finds as many crops as fit
    record = dataset.RECORD

    def requires(self) -> dict[str, StoreTask]:
        """The plan; its shards are known once it is there."""
        settings = pack_settings()
        if not 1 <= settings.jpeg_quality <= 100:
            raise UserError("1 to 100", str(settings.jpeg_quality), "[crops] jpeg_quality", "mend it")
        return {"plan": PlanCrops(dataset=self.dataset)}

    def dynamic_requires(self) -> list[StoreTask]:
        """One PackShard for each planned shard."""
        planned = self.requires()["plan"]
        if not planned.complete():
            return []
        return [
            PackShard(dataset=self.dataset, shard=shard["name"])
            for shard in crop_plan.planned_shards(planned.directory())
        ]

    def parameters(self) -> dict[str, Any]:
        """Return codec and screens; the plan's hash covers what it has of them."""
        settings = pack_settings()
        is_jpeg = settings.image_extension == "jpg"
        return {
            "image_extension": settings.image_extension,
            "png_effort": None if is_jpeg else settings.png_effort,
            "jpeg_quality": settings.jpeg_quality if is_jpeg else None,
            "screens": vars(settings.screens),
        }

    def is_done(self) -> bool:
        """Return whether dataset.json is there, and what has no part in the directory's name is as it says, too."""
        if not super().is_done():
            return False
        manifest = dataset.read_manifest(self.directory())
        return dataset.is_current(manifest, self.dataset_spec, crops().max_bad_fraction)

    def make(self) -> Iterator[list[StoreTask]]:
        """Wait for the shards, then make them one dataset."""
        yield self.dynamic_requires()
        with stage(self, "shards") as progress:
            self.finish(progress)

    def finish(self, progress: Progress = silent) -> None:
        """Make one dataset of the shards that are there."""
        dataset.finish_dataset(
            self.directory(),
            self.dataset_spec,
            self.requires()["plan"].requires().directory(),
            self.requires()["plan"].directory(),
            spec_hash=self.directory_name.rpartition("-")[2],
            crop_size_px=crops().size_px,
            image_extension=crops().image_format,
            max_bad_fraction=crops().max_bad_fraction,
            progress=progress,
        )

    def counts(self) -> str:
        """Return images, crops and rejections."""
        totals = dataset.read_manifest(self.directory()).totals
        return f"{totals['crops']} crops of {totals['sources']} images, {totals['rejected']} rejected"

    def summary(self) -> str:
        """Say where the crops are and how many."""
        totals = dataset.read_manifest(self.directory()).totals
        return (
            f"Crops: {self.directory()}\n"
            f"{self.counts()}, {totals['bytes'] / 1e6:.1f} MB. Open contact-sheet.jpg to look at some."
        )


def pack_settings() -> pack.PackSettings:
    """Return [crops] as the packer wants it."""
    section = crops()
    limits = [field.name for field in dataclasses.fields(ScreenSettings)]
    return pack.PackSettings(
        size_px=section.size_px,
        downscale_factors=_whole_numbers(section.downscale_factors, "[crops] downscale_factors"),
        image_extension=section.image_format,
        png_effort=section.png_effort,
        jpeg_quality=section.jpeg_quality,
        screens=ScreenSettings(**{name: getattr(section, name) for name in limits}),
    )


def _whole_numbers(text: str, where: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*", text):
        raise UserError(
            "whole numbers with commas between them", repr(text), where, "write for example 1,2,4"
        )
    return tuple(sorted({int(part) for part in text.split(",")}))
