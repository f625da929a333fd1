"""From a disc in a drive to films: RipDisc. A film that is already a file needs none of this."""

import sys
from pathlib import Path
from typing import Any

import luigi

from data.catalogue import DatasetSpec, plain_name
from data.files import read_json
from pipeline import rip
from sr import supervise
from tasks.base import StoreTask
from tasks.progress import stage


class RipDisc(StoreTask):
    """Disc → films: what makemkvcon saves of it."""

    disc = luigi.IntParameter(default=0, description="number of the drive, as MakeMKV counts them")
    title = luigi.Parameter(
        default="", description="of the disc; without it whatever lies in this drive is taken for one disc"
    )
    stage = "discs"
    record = rip.RECORD

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
            rip.rip_disc(self.disc, self.directory(), supervised, progress)

    def films(self) -> Path:
        """Return the folder of the films."""
        return self.directory() / rip.FILMS

    def counts(self) -> str:
        """Return films and bytes."""
        films = read_json(Path(self.output().path))["films"]
        return f"{len(films)} films, {sum(film['bytes'] for film in films) / 1e9:.1f} GB"

    def summary(self) -> str:
        """Say where the films are."""
        return f"Films: {self.films()}\n{self.counts()}. Crops of them: MakeCrops --dataset {self.films()}"
