"""List the images of a dataset: IndexSource."""

import functools
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.benchmark_dataset import BenchmarkDataset
from data.catalog.published_figures import published, strip_scale_suffix
from data.errors import UserError
from data.records import Rejection, SourceEntry
from data.shards import read_rejections
from data.sources import Source, open_source
from pipeline import index
from pipeline.rejection_counts import is_within_budget
from tasks import known_sources
from tasks.crops_config import crops, video
from tasks.download import DatasetTask, Download
from tasks.fetch_urls import FetchUrls
from tasks.rip_disc import RipDisc
from tasks.runtime.cpu_share import cpu_share
from tasks.runtime.parameters import IntParameter
from tasks.runtime.progress import stage
from tasks.unpack_videos import UnpackVideos

_MIN_BENCHMARK_SIDE_PX = 16
"""Smaller images can't be evaluated: the window of SSIM is 11 pixels wide, and LR images must hold it, too."""


class IndexSource(DatasetTask):
    """Source → entries: one row an image, from headers and hashes."""

    min_side_px: int = IntParameter(
        default=_MIN_BENCHMARK_SIDE_PX,
        at_least=1,
        description="images with a shorter side are rejected, pixels",
    )
    stage = "sources"
    record = index.RECORD
    format_version = 4  # 4: WebP without loss is not lossy

    @property
    def upstream(self) -> Download | FetchUrls | UnpackVideos | RipDisc | None:
        """The task that fetches the dataset; None where it is already on disk."""
        if self.dataset_spec.kind == "disc":
            return RipDisc.of(self.dataset_spec)
        if self.dataset_spec.kind == "video_archives":
            return UnpackVideos(dataset=self.dataset)
        if self.dataset_spec.kind == "url_list":
            return FetchUrls(dataset=self.dataset)
        if self.dataset_spec.kind == "archives":
            return Download(dataset=self.dataset_spec.archives_of or self.dataset)
        return None

    def requires(self) -> list[Download | FetchUrls | UnpackVideos | RipDisc]:
        """The download of an archive, the images of a list of URLs, or the rip of a disc."""
        return [self.upstream] if self.upstream else []

    def source(self) -> Source:
        """Open the source of the images.

        Raises:
            UserError: an archive of a finished download was removed or changed.
        """
        return open_source(self.dataset_spec, self.source_files(), crops().alpha, video().settings())

    def source_files(self) -> list[Path]:
        """Return the downloaded files, or the folder of what was fetched; none where the source is already on disk.

        Raises:
            UserError: an archive of a finished download was removed or changed.
        """
        upstream = self.upstream
        if isinstance(upstream, RipDisc | UnpackVideos):
            return [upstream.videos()]
        if isinstance(upstream, FetchUrls):
            return [upstream.images()]
        return upstream.verified_files() if upstream else []

    @cached_property
    def source_identity(self) -> dict[str, Any]:
        """The fingerprint of a source on disk, or which part of a download is read."""
        if self.dataset_spec.kind in ("disc", "video_archives"):
            return {"settings": vars(video().settings())}
        if self.upstream:
            return {"members": self.dataset_spec.members}
        return known_sources.find_fingerprint(self.dataset) or self.source().fingerprint()

    def parameters(self) -> dict[str, Any]:
        """Return what the source is, and how it is indexed."""
        return {
            "source": self.source_identity,
            "min_side_px": self.min_side_px,
            "lossy": self.dataset_spec.lossy,
            "group": self.dataset_spec.group or "image",
            "alpha": crops().alpha,
        }

    def is_done(self) -> bool:
        """Return whether the index exists, and no more of the source is damaged than [crops] max_bad_fraction allows.

        That limit changes no byte, so it is not part of the directory's name. Where it was lowered below the fraction
        that is damaged, the source is indexed again, and the error lists the damaged images.
        """
        if not super().is_done():
            return False
        record = index.read_index_record(self.directory())
        return is_within_budget(record["totals"], record["rejections"], crops().max_bad_fraction)

    def make(self) -> None:
        """Read the header of every image and write the entries."""
        with stage(self, "images") as progress:
            if self.dataset_spec.note:
                print(self.dataset_spec.note)
            left_out = index.index_source(
                self.source(),
                self.name(),
                self.directory(),
                min_side_px=self.min_side_px,
                max_bad_fraction=crops().max_bad_fraction,
                lossy=self.dataset_spec.lossy,
                group=self.dataset_spec.group or "image",
                threads=cpu_share(),
                progress=progress,
            )
            if left_out:
                print(left_out)

    def benchmark(self) -> BenchmarkDataset:
        """Return the indexed dataset as a benchmark; a published one must have its published number of images."""
        directory = self.directory()
        rejections = read_rejections(directory / index.REJECTIONS)
        image_count = published().images.get(strip_scale_suffix(self.name()), 0)
        entries = index.read_entries(directory)
        return BenchmarkDataset(self.dataset_spec, self.source(), entries, rejections, image_count)

    def loaders(self) -> dict[str, Callable[[], npt.NDArray[np.uint8]]]:
        """Return functions that decode the images, by name: uint8, height x width x 3."""
        source = self.source()

        def load(entry: SourceEntry) -> npt.NDArray[np.uint8]:
            _, pixels = next(iter(source.read([entry])))
            if isinstance(pixels, Rejection):
                message = f"{entry.id} of {self.name()} can't be read: {pixels.reason} ({pixels.detail})"
                raise UserError(message, "Remove or replace the image")
            return pixels

        return {entry.id: functools.partial(load, entry) for entry in index.read_entries(self.directory())}

    def counts(self) -> str:
        """Return the numbers of images and rejections."""
        totals = index.read_index_record(self.directory())["totals"]
        return f"{totals['sources']} images, {totals['rejected']} rejected"

    def summary(self) -> str:
        """Return where the index is, and how many images were rejected for which reason."""
        reasons = index.read_index_record(self.directory())["rejections"].items()
        lines = "".join(f"\n  {count} {reason}" for reason, count in reasons)
        more = f"; {index.REJECTIONS} lists each:{lines}" if lines else ""
        notes = [self.dataset_spec.note, *index.read_index_record(self.directory()).get("notes", [])]
        note = "".join(f"\n{text}" for text in notes if text)
        return f"Index: {self.directory()}\n{self.counts()}{more}{note}"
