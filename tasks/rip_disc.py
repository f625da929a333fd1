"""From a disc in a drive to videos: RipDisc. A video that is already a file needs none of this."""

import sys
from pathlib import Path
from typing import Any

import luigi

from data.atomic_files import read_json
from data.catalog.catalog import DatasetSpec, plain_name
from data.processes import supervise
from pipeline import rip_disc
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask


class RipDisc(StoreTask):
    """Disc → videos: what makemkvcon saves of it."""

    disc = luigi.IntParameter(default=0, description="number of the drive, as MakeMKV counts them")
    title = luigi.Parameter(
        default="", description="of the disc; without it whatever lies in this drive is taken for one disc"
    )
    stage = "discs"
    record = rip_disc.RECORD

    @classmethod
    def of(cls, dataset: DatasetSpec) -> "RipDisc":
        """Return the task that makes a dataset of kind disc."""
        unnamed = f"disc{dataset.path}"
        return cls(disc=int(dataset.path), title="" if dataset.name == unnamed else dataset.name)

    def name(self) -> str:
        """Return the title, or the drive."""
        return self.title or f"disc{self.disc}"

    def parameters(self) -> dict[str, Any]:
        """Return what tells discs apart: the title, or the drive where none was given."""
        return {"title": plain_name(self.title)} if self.title else {"disc": self.disc}

    def make(self) -> None:
        """Rip."""
        supervised = [sys.executable, "-I", supervise.__file__]
        with stage(self, "%") as progress:
            rip_disc.rip_disc(self.disc, self.directory(), supervised, progress)

    def videos(self) -> Path:
        """Return the folder of the videos."""
        return self.directory() / rip_disc.VIDEOS

    def counts(self) -> str:
        """Return videos and bytes."""
        videos = read_json(Path(self.output().path))["videos"]
        return f"{len(videos)} videos, {sum(video['bytes'] for video in videos) / 1e9:.1f} GB"

    def summary(self) -> str:
        """Say where the videos are."""
        return f"Videos: {self.videos()}\n{self.counts()}. Crops of them: MakeCrops --dataset {self.videos()}"
