"""Turn an index into a crop dataset: PlanCrops, PackShard, MakeCrops."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import luigi

from data.errors import UserError
from data.progress import Progress, silent
from data.shards import ShardPaths, read_header
from pipeline import crop_plan, dataset, index, pack, plan_files, ray_engine
from pipeline.quality_filters import QualityThresholds
from pipeline.rejection_counts import format_counts
from pipeline.shard_parts import Part
from tasks import known_sources
from tasks.crop_settings import pack_settings, plan_settings
from tasks.crops_config import crops, video
from tasks.download import DatasetTask
from tasks.index import IndexSource
from tasks.runtime.cluster_config import cluster
from tasks.runtime.cpu_share import cpu_share
from tasks.runtime.parameters import PathParameter
from tasks.runtime.progress import stage
from tasks.shard_choice import PartParameter, ShardParameter, report_after, unknown_shard_error


class PlanCrops(DatasetTask):
    """Entries → crop plan: how many crops of which image, in which shard."""

    stage = "plans"
    format_version = 3  # 3: the number of crops of each image, not their boxes
    record = plan_files.RECORD

    @property
    def index(self) -> IndexSource:
        """The index of the images that are large enough for a crop."""
        return IndexSource(dataset=self.dataset, min_side_px=crops().size_px)

    def requires(self) -> IndexSource:
        """The index."""
        self.settings().check()
        return self.index

    def settings(self) -> crop_plan.PlanSettings:
        """Return [crops] as the planner takes it."""
        catalog_group = self.dataset_spec.group
        return dataclasses.replace(plan_settings(), group="image" if catalog_group else crops().group)

    def parameters(self) -> dict[str, Any]:
        """Return the settings; those of the grid only under the policy grid."""
        settings = self.settings()
        named = vars(settings) | {"downscale_factors": list(settings.downscale_factors)}
        if settings.policy != "grid":
            named |= {"grid_step_px": None, "grid_min_rest_px": None}
        return named

    def make(self) -> None:
        """Place the crops of every image and assign them to shards."""
        entries = index.Entries(self.index.directory())
        plan_files.write_plan(
            *crop_plan.plan_dataset(entries, self.settings(), self.name()), self.directory()
        )
        known_sources.store(self.directory(), self.dataset, self.dataset_spec, self.index.source_identity)
        totals = plan_files.read_plan_record(self.directory())["totals"]
        if totals["groups"] == 1 and crops().validation_fraction:
            print(
                f"All images of {self.name()} that give crops are one group, so none of them is for validation"
            )

    def shards(self) -> dict[str, int]:
        """Return the number of crops of each planned shard, by name; the plan must be finished."""
        return {shard["name"]: shard["crops"] for shard in self.planned_shards()}

    def planned_shards(self) -> list[plan_files.PlannedShard]:
        """Return what plan.json says of each shard; the plan must be finished."""
        return plan_files.read_planned_shards(self.directory())

    def counts(self) -> str:
        """Return the numbers of crops, shards and groups."""
        totals = plan_files.read_plan_record(self.directory())["totals"]
        return f"{totals['crops']} crops in {len(self.shards())} shards, {totals['groups']} groups of images"


class PackShard(DatasetTask):
    """Crop plan → one shard with its index, manifest and header, or all shards of one part of the plan."""

    shard: str = ShardParameter(default="", description="name of the shard, e.g. train-000000")
    part: str = PartParameter(
        default="",
        description="in place of --shard: the shards of part I of N, I from 1, e.g. 7/64; the jobs of a batch system "
        "take one part each",
    )
    plan_dir: str = PathParameter(
        default="",
        significant=False,
        description="directory of the finished plan: the source counts as unchanged since, and is not listed again",
    )
    stage = "crops"

    @property
    def plan(self) -> PlanCrops:
        """The crop plan of the dataset; a UserError where `--plan-dir` names another one."""
        plan = self.home().plan
        if self.plan_dir:
            known_sources.check_plan(plan.directory(), Path(self.plan_dir))
        return plan

    def requires(self) -> PlanCrops:
        """The plan."""
        return self.plan

    def shards(self) -> list[str]:
        """Return the names of the shards that it makes; those of a part are known once the plan is finished."""
        if bool(self.shard) == bool(self.part):
            message = (
                f"PackShard takes one of --shard and --part, and has {'both' if self.shard else 'neither'}"
            )
            raise UserError(message, "Give --shard train-000000, or --part 1/8 for the first of eight parts")
        return [self.shard] if self.shard else Part.parse(self.part).take(list(self.plan.shards()))

    def headers(self) -> list[Path]:
        """Return the paths of the shards' headers."""
        return [ShardPaths(self.directory(), shard).header for shard in self.shards()]

    def record_path(self) -> Path:
        """Return the path of the shard's header; of a part, the folder of the headers."""
        return self.headers()[0] if self.shard else self.directory() / "manifest"

    def is_done(self) -> bool:
        """Return whether every shard has its header."""
        return (bool(self.shard) or self.plan.complete()) and all(path.exists() for path in self.headers())

    def home(self) -> "MakeCrops":
        """Return the dataset's task: shards are written into its directory."""
        if self.plan_dir:
            known_sources.load(Path(self.plan_dir), self.dataset)
        return MakeCrops(dataset=self.dataset)

    def make(self) -> None:
        """Cut the crops of the shards that are not there yet out of their images, and write them."""
        planned = self.plan.shards()
        if self.shard and self.shard not in planned:
            raise unknown_shard_error(self.shard, list(planned), self.name())
        cores = cpu_share(len(planned), list(planned).index(self.shard)) if self.shard else cpu_share(1)
        own = self.shards()
        with stage(
            self, "crops", sum(planned[shard] for shard in (planned if self.shard else own))
        ) as progress:
            done, total = 0, sum(planned[shard] for shard in own)
            for shard, header in zip(own, self.headers(), strict=True):
                if not header.exists():
                    self.pack(shard, cores, functools.partial(report_after, progress, done, total))
                done += planned[shard]
            progress(done, total)

    def pack(self, shard: str, processes: int = 1, progress: Progress = silent) -> None:
        """Pack one shard of the plan.

        Args:
            shard: its name.
            processes: number of images to process at once.
            progress: called with the number of crops made or rejected.
        """
        pack.pack_shard(
            plan_files.read_plan_shard(self.plan.directory(), shard),
            self.plan.index.source(),
            ShardPaths(self.directory(), shard),
            pack_settings(),
            processes=processes,
            progress=progress,
        )

    def counts(self) -> str:
        """Return the number of crops."""
        crops_made = sum(read_header(path).samples for path in self.headers())
        count = len(self.shards())
        return f"{crops_made} crops" + (f" in {count} shard{'s' if count > 1 else ''}" if self.part else "")

    def summary(self) -> str:
        """Return where the shards are, and how many."""
        if self.part and not self.shards():
            return f"Part {self.part} is past the end: the plan of {self.name()} has {len(self.plan.shards())} shards."
        part = f"Part {self.part}: " if self.part else ""
        return f"{part}{self.counts()} of {self.name()} in {self.directory()}"


class MakeCrops(DatasetTask):
    """Shards → a crop dataset with manifest, card, parquet and contact sheet."""

    stage = "crops"
    format_version = 8  # 8: noise without texture, weak structure counts. 7: quality metrics in natural units
    record = dataset.RECORD

    @property
    def plan(self) -> PlanCrops:
        """The crop plan of the dataset."""
        return PlanCrops(dataset=self.dataset)

    def requires(self) -> dict[str, PlanCrops]:
        """The plan; its shards are known once it is finished."""
        return {"plan": self.plan}

    def dynamic_requires(self) -> list[PackShard]:
        """Return one PackShard for each planned shard."""
        if not self.plan.complete():
            return []
        return [PackShard(dataset=self.dataset, shard=shard) for shard in self.plan.shards()]

    def parameters(self) -> dict[str, Any]:
        """Return encoding and quality thresholds; the plan's hash covers all else."""
        settings = pack_settings()
        is_jpeg = settings.image_extension == "jpg"
        return {
            "image_extension": settings.image_extension,
            "png_effort": None if is_jpeg else settings.png_effort,
            "jpeg_quality": settings.jpeg_quality if is_jpeg else None,
            "thresholds": vars(settings.thresholds),
        }

    @property
    def is_drawn(self) -> bool:
        """Whether the program draws the images: no photograph can be among them."""
        return self.dataset_spec.kind == "sample"

    def thresholds(self) -> QualityThresholds:
        """Return the thresholds that its crops pass: fewer where images are drawn."""
        thresholds = pack_settings().thresholds
        return thresholds.without_camera_faults() if self.is_drawn else thresholds

    def is_done(self) -> bool:
        """Return whether dataset.json exists and is current; the license, for one, is not in the directory's name."""
        if not super().is_done():
            return False
        manifest = dataset.read_manifest(self.directory())
        return dataset.is_current(manifest, self.dataset_spec, crops().max_bad_fraction)

    def make(self) -> Iterator[Sequence[luigi.Task]]:
        """Wait for the shards, then combine them."""
        if cluster().engine == "ray":
            self.pack_with_ray()
        else:
            yield self.dynamic_requires()
        with stage(self, "shards") as progress:
            self.finish(progress)

    def pack_with_ray(self) -> None:
        """Pack the missing shards on a Ray cluster, and print how many each host has packed."""
        planned = self.plan.shards()
        missing = [task.shard for task in self.dynamic_requires() if not task.is_done()]
        job = ray_engine.ShardJob(
            plan_dir=self.plan.directory().absolute(),
            directory=self.directory().absolute(),
            dataset=self.dataset_spec,
            files=tuple(path.absolute() for path in self.plan.index.source_files()),
            alpha=crops().alpha,
            videos=video().settings(),
            settings=pack_settings(),
        )
        section = cluster()
        settings = ray_engine.RayCluster(
            section.ray_address, section.ray_retries, int(section.ray_memory_gb * 1e9)
        )
        with stage(self, "crops") as progress:
            hosts = ray_engine.pack_shards(
                job, {shard: planned[shard] for shard in missing}, settings, progress
            )
        for host, count in sorted(Counter(hosts.values()).items()):
            print(f"{count} shards packed on {host}", flush=True)

    def finish(self, progress: Progress = silent) -> None:
        """Write the files that make one dataset of the finished shards."""
        dataset.finish_dataset(
            self.directory(),
            self.dataset_spec,
            self.plan.index.directory(),
            self.plan.directory(),
            spec_hash=self.spec_hash,
            crop_size_px=crops().size_px,
            image_extension=crops().image_format,
            max_bad_fraction=crops().max_bad_fraction,
            progress=progress,
        )

    def counts(self) -> str:
        """Return the numbers of images, crops and rejections."""
        manifest = dataset.read_manifest(self.directory())
        totals, warned = manifest.totals, sum(manifest.warnings.values())
        counts = f"{totals['crops']} crops of {totals['sources']} images, {totals['rejected']} rejected"
        return counts + (f", {warned} warnings" if warned else "")

    def summary(self) -> str:
        """Return where the crops are, and how many."""
        manifest = dataset.read_manifest(self.directory())
        warned = (
            f"\nTaken with a warning: {format_counts(manifest.warnings)}; {dataset.WARNINGS} lists each."
            if manifest.warnings
            else ""
        )
        return (
            f"Crops: {self.directory()}\n"
            f"{self.counts()}, {manifest.totals['bytes'] / 1e6:.1f} MB. Open contact-sheet.jpg to look at some.{warned}"
        )
