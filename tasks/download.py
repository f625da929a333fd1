"""From wherever images are to an index of them: Download, IndexSource."""

from functools import cached_property
from pathlib import Path
from typing import Any

import luigi

from data.benchmark_dataset import Benchmark
from data.catalog.catalog import DatasetSpec, resolve
from data.catalog.published_figures import plain_benchmark, published
from data.errors import UserError
from data.shards import read_rejections
from data.sources import Source, open_source
from pipeline import index
from pipeline.download import download
from pipeline.download.transfer import TransferSettings
from pipeline.rejection_counts import is_borne
from tasks.config import crops, store, threads, video
from tasks.rip_disc import RipDisc
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask

_LEAST_BENCHMARK_PX = 16
"""Smaller images can't be judged: the SSIM window is 11 pixels, at the low size too."""


class DatasetTask(StoreTask):
    """A task about one dataset: a catalog name or a path."""

    dataset = luigi.Parameter(
        description="a catalog name (DIV2K), a path: ./photos, photos.zip, photos.tar.gz, video.mkv; or disc:0"
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
    """Catalog → verified archives."""

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
        """Return the paths of the downloaded files, in the catalog's order."""
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
    """Source → entries: one row an image, from headers and hashes."""

    least_side_px = luigi.IntParameter(default=_LEAST_BENCHMARK_PX, description="smaller images are rejected")
    stage = "sources"
    record = index.RECORD
    format_version = 2  # 2: bit_depth in the rows, names of hostile archives made safe

    def requires(self) -> list[StoreTask]:
        """Archives are downloaded and discs ripped; everything else is there already."""
        crops().check()
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
            files += [task.videos()] if isinstance(task, RipDisc) else task.verified_files()
        return open_source(self.dataset_spec, files, crops().alpha, video().settings())

    def parameters(self) -> dict[str, Any]:
        """Return what the source is: its fingerprint, or, of what is downloaded, the part that is looked at."""
        source = {"members": self.dataset_spec.members} if self.requires() else self.source().fingerprint()
        if self.dataset_spec.kind == "disc":
            source = {"settings": vars(video().settings())}
        return {
            "source": source,
            "least_side_px": self.least_side_px,
            "lossy": self.dataset_spec.lossy,
            "group": self.dataset_spec.group,
            "alpha": crops().alpha,
        }

    def is_done(self) -> bool:
        """Return whether the index is there, and no more of it is damaged than is borne now.

        That limit changes no byte and has no part in the directory's name. Where it was lowered below what is damaged,
        the source is looked at again, and the error says what is damaged.
        """
        if not super().is_done():
            return False
        record = index.read_record(self.directory())
        return is_borne(record["totals"], record["rejections"], crops().max_bad_fraction)

    def make(self) -> None:
        """Scan."""
        with stage(self, "images") as progress:
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
        """Return the finished index as a benchmark, held against how many images a published one has."""
        directory = self.directory()
        rejections = read_rejections(directory / index.REJECTIONS)
        images = published().images.get(plain_benchmark(self.name()), 0)
        entries = index.read_entries(directory)
        return Benchmark(self.dataset_spec, self.source(), entries, rejections, images)

    def counts(self) -> str:
        """Return images and rejections."""
        totals = index.read_record(self.directory())["totals"]
        return f"{totals['sources']} images, {totals['rejected']} rejected"

    def summary(self) -> str:
        """Say where the index is, and what was thrown out for which reason."""
        reasons = index.read_record(self.directory())["rejections"].items()
        listed = "".join(f"\n  {count} {reason}" for reason, count in reasons)
        more = f"; each is in {index.REJECTIONS}:{listed}" if listed else ""
        return f"Index: {self.directory()}\n{self.counts()}{more}"
