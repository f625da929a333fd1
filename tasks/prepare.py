"""From raw material to crop datasets: Download, IndexSource, PlanCrops, PackShard, MakeCrops."""

import dataclasses
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import luigi

from data.benchmarks import Benchmark
from data.catalogue import DatasetSpec, resolve
from data.errors import UserError
from data.progress import Progress, silent
from data.published import plain_benchmark, published
from data.shards import ShardPaths, read_header, read_rejections
from data.sources import Source, open_source
from pipeline import dataset, download, index, pack, plan
from pipeline.screen import ScreenSettings
from pipeline.transfer import TransferSettings
from tasks.base import StoreTask
from tasks.config import crops, films, store, threads
from tasks.disc import RipDisc
from tasks.progress import stage

_LEAST_BENCHMARK_PX = 16
"""Smaller pictures can't be judged: the SSIM window is 11 pixels, at the low size too."""


class DatasetTask(StoreTask):
    """A task about one dataset: a catalogue name or a path."""

    dataset = luigi.Parameter(
        description="a catalogue name (DIV2K), a path: ./photos, photos.zip, photos.tar.gz, film.mkv; or disc:0"
    )

    @cached_property
    def dataset_spec(self) -> DatasetSpec:
        """What the dataset is."""
        own = store().catalog
        return resolve(self.dataset, Path(own).expanduser() if own else None)

    def name(self) -> str:
        """Return the dataset's name."""
        return self.dataset_spec.name


class Download(DatasetTask):
    """Catalogue → verified archives."""

    stage = "downloads"
    record = download.RECORD

    def parameters(self) -> dict[str, Any]:
        """Return the published files."""
        files = [[file.name, file.bytes, file.sha256, file.md5] for file in self.dataset_spec.files]
        return {"files": files}

    def complete(self) -> bool:
        """Return whether the record is there, and the files are as they were when they were verified."""
        return super().complete() and download.is_untouched(self.dataset_spec, self.directory())

    def make(self) -> None:
        """Adopt what is on disk, fetch the rest."""
        section = store()
        if section.connections < 1:
            raise UserError("1 or more", str(section.connections), "[store] connections", "mend it")
        folders = [Path(name.strip()).expanduser() for name in section.archives.split(",") if name.strip()]
        settings = download.DownloadSettings(tuple(folders), TransferSettings(section.connections))
        with stage(self, "bytes", resumes=True) as progress:
            download.download_dataset(self.dataset_spec, self.directory(), settings, progress=progress)

    def files(self) -> list[Path]:
        """Return the paths of the downloaded files, in the catalogue's order."""
        return [self.directory() / file.name for file in self.dataset_spec.files]

    def verified_files(self) -> list[Path]:
        """Return the same, once they were held against what was verified.

        Raises:
            UserError: one was taken away or changed since.
        """
        if not self.complete():
            remedy = f"run `luigi --module tasks Download --dataset {self.dataset}`, then this again"
            raise UserError("the verified archives", "others or none", str(self.directory()), remedy)
        return self.files()

    def summary(self) -> str:
        """Say where the files are, and how large."""
        listed = "".join(f"\n{path.resolve()}, {path.stat().st_size} bytes" for path in self.files())
        return f"Download: {self.directory()}{listed}"


class IndexSource(DatasetTask):
    """Source → entries: one row a picture, from headers and hashes."""

    least_side_px = luigi.IntParameter(
        default=_LEAST_BENCHMARK_PX, description="smaller pictures are rejected"
    )
    stage = "sources"
    record = index.RECORD
    format_version = 2  # 2: bit_depth in the rows, names of hostile archives made safe

    def requires(self) -> list[StoreTask]:
        """Archives are downloaded and discs ripped; everything else is there already."""
        if self.dataset_spec.kind == "disc":
            return [RipDisc.of(self.dataset_spec)]
        if self.dataset_spec.kind != "archives":
            return []
        return [Download(dataset=self.dataset_spec.archives_of or self.dataset)]

    def source(self) -> Source:
        """Open the source that this indexes.

        Raises:
            UserError: an archive of a finished download was taken away or changed.
        """
        files = []
        for task in self.requires():
            files += [task.films()] if isinstance(task, RipDisc) else task.verified_files()
        return open_source(self.dataset_spec, files, crops().alpha, films().settings())

    def parameters(self) -> dict[str, Any]:
        """Return what the source is: its fingerprint, or, of what is downloaded, the part that is looked at."""
        source = {"members": self.dataset_spec.members} if self.requires() else self.source().fingerprint()
        if self.dataset_spec.kind == "disc":
            source = {"settings": vars(films().settings())}
        return {
            "source": source,
            "least_side_px": self.least_side_px,
            "max_bad_fraction": crops().max_bad_fraction,
            "lossy": self.dataset_spec.lossy,
            "group": self.dataset_spec.group,
            "alpha": crops().alpha,
        }

    def make(self) -> None:
        """Scan."""
        with stage(self, "pictures") as progress:
            index.index_source(
                self.source(),
                self.name(),
                self.directory(),
                least_side_px=self.least_side_px,
                max_bad_fraction=crops().max_bad_fraction,
                lossy=self.dataset_spec.lossy,
                group=self.dataset_spec.group,
                threads=threads(),
                progress=progress,
            )

    def benchmark(self) -> Benchmark:
        """Return the finished index as a benchmark, held against how many pictures a published one has."""
        directory = self.directory()
        rejections = read_rejections(directory / index.REJECTIONS)
        pictures = published().pictures.get(plain_benchmark(self.name()), 0)
        entries = index.read_entries(directory)
        return Benchmark(self.dataset_spec, self.source(), entries, rejections, pictures)

    def counts(self) -> str:
        """Return pictures and rejections."""
        totals = index.read_record(self.directory())["totals"]
        return f"{totals['sources']} pictures, {totals['rejected']} rejected"

    def summary(self) -> str:
        """Say where the index is, and what was thrown out for which reason."""
        reasons = index.read_record(self.directory())["rejections"].items()
        listed = "".join(f"\n  {count} {reason}" for reason, count in reasons)
        more = f"; each is in {index.REJECTIONS}:{listed}" if listed else ""
        return f"Index: {self.directory()}\n{self.counts()}{more}"


class PlanCrops(DatasetTask):
    """Entries → crop plan: which boxes of which picture, in which shard."""

    stage = "plans"
    format_version = 2
    record = plan.RECORD

    def requires(self) -> IndexSource:
        """The index, of pictures that a crop could fit into."""
        self.settings().check()
        return IndexSource(dataset=self.dataset, least_side_px=crops().size_px)

    def settings(self) -> plan.PlanSettings:
        """Return [crops] as the planner wants it."""
        section = crops()
        return plan.PlanSettings(
            policy=section.policy,
            size_px=section.size_px,
            shrinks=_whole_numbers(section.shrinks, "[crops] shrinks"),
            max_per_source=section.max_per_source,
            grid_step_px=section.grid_step_px,
            grid_rest_px=section.grid_rest_px,
            largest_px=int(section.largest_mpx * 1e6),
            validation_fraction=section.validation_fraction,
            crops_per_shard=section.crops_per_shard,
            seed=section.seed,
        )

    def parameters(self) -> dict[str, Any]:
        """Return the settings."""
        return vars(self.settings()) | {"shrinks": list(self.settings().shrinks)}

    def make(self) -> None:
        """Plan."""
        entries = index.read_entries(self.requires().directory())
        plan.write_plan(*plan.plan_dataset(entries, self.settings(), self.name()), self.directory())

    def counts(self) -> str:
        """Return crops and shards."""
        shards = plan.planned_shards(self.directory())
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
        whole = sum(shard["crops"] for shard in plan.planned_shards(plan_dir))
        with stage(self, "crops", whole) as progress:
            pack.pack_shard(
                plan.read_plan_shard(plan_dir, self.shard),
                self.requires().requires().source(),
                ShardPaths(self.directory(), self.shard),
                pack_settings(),
                processes=threads(),
                progress=progress,
            )

    def counts(self) -> str:
        """Return the number of crops."""
        return f"{read_header(self.directory() / self.record).samples} crops"


class MakeCrops(DatasetTask):
    """Shards → a crop dataset with manifest, card, parquet and contact sheet."""

    stage = "crops"
    format_version = 2
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
            for shard in plan.planned_shards(planned.directory())
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
            "max_bad_fraction": crops().max_bad_fraction,
        }

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
        """Return pictures, crops and rejections."""
        totals = dataset.read_manifest(self.directory()).totals
        return f"{totals['crops']} crops of {totals['sources']} pictures, {totals['rejected']} rejected"

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
        shrinks=_whole_numbers(section.shrinks, "[crops] shrinks"),
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
