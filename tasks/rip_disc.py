"""Rip a disc in a drive to video files: RipDisc. A video that is already a file needs none of this."""

import sys
from pathlib import Path
from typing import Any

import luigi

from data.catalog.spec import DatasetSpec, slugify
from data.processes import supervise
from pipeline import rip_disc
from tasks.runtime.parameters import IntParameter
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask


class RipDisc(StoreTask):
    """Disc → videos, as makemkvcon saves them."""

    disc: int = IntParameter(default=0, at_least=0, description="number of the drive, as MakeMKV counts them")
    title: str = luigi.Parameter(
        default="", description="name of the disc; without it, any disc in this drive counts as the same one"
    )
    stage = "discs"
    record = rip_disc.RECORD
    format_version = 2

    @classmethod
    def of(cls, dataset: DatasetSpec) -> "RipDisc":
        """Return the task that makes a dataset of kind disc."""
        unnamed = f"disc{dataset.path}"
        return cls(disc=int(dataset.path), title="" if dataset.name == unnamed else dataset.name)

    def name(self) -> str:
        """Return the title, or the drive where there is none."""
        return self.title or f"disc{self.disc}"

    def parameters(self) -> dict[str, Any]:
        """Return what identifies the disc: the title, or the drive where there is none."""
        return {"title": slugify(self.title)} if self.title else {"disc": self.disc}

    def make(self) -> None:
        """Save every title of the disc as a file, with a process that ends makemkvcon if this one is killed."""
        supervised = [sys.executable, "-I", supervise.__file__]
        with stage(self, "%") as progress:
            rip_disc.rip_disc(self.disc, self.directory(), supervised, progress)

    def videos(self) -> Path:
        """Return the folder of the videos."""
        return self.directory() / rip_disc.VIDEOS

    def counts(self) -> str:
        """Return the number of videos and their size."""
        videos = self.load_record()["videos"]
        return f"{len(videos)} videos, {sum(video['bytes'] for video in videos) / 1e9:.1f} GB"

    def summary(self) -> str:
        """Return where the videos are, and the command that makes crops of them."""
        return f"Videos: {self.videos()}\n{self.counts()}. To make crops of them: MakeCrops --dataset {self.videos()}"
