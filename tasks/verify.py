"""What is done with a finished crop dataset besides training: VerifyDataset, ExportFolder."""

import datetime
import secrets
from functools import cached_property
from pathlib import Path

import luigi

from data.atomic_files import read_json, write_json
from data.cpu_count import usable_cores
from data.errors import UserError
from data.record_json import from_plain, to_plain
from data.records import SCHEMA, Damage, FolderManifest, Verification
from pipeline import crop_plan, export_folder, rebuild, verify
from tasks.config import threads
from tasks.crops import MakeCrops, PlanCrops, pack_settings
from tasks.download import DatasetTask
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask
from tasks.train import WHOLE_MACHINE

_SHOWN = 4
"""Names and findings that an error message has of each; verification.json has all."""


class ThisRunsTarget(luigi.LocalTarget):
    """A JSON file that is there only when its `run` is this run's: an answer that may be another one tomorrow."""

    def __init__(self, path: str, run: str) -> None:
        super().__init__(path)
        self.run = run

    def exists(self) -> bool:
        """Return whether this run has written it."""
        try:
            return super().exists() and read_json(Path(self.path))["run"] == self.run
        except (UserError, KeyError, TypeError):
            return False


class VerifyDataset(DatasetTask):
    """Crop dataset → what in it is damaged, by name; with --rebuild, mended."""

    level = luigi.ChoiceParameter(
        default=verify.LEVELS[0],
        choices=verify.LEVELS,
        description="headers: sizes and small files; hashes: every byte; full: every image decoded",
    )
    full = luigi.BoolParameter(description="the same as --level full")
    rebuild = luigi.BoolParameter(description="make the damaged shards again, and no others")
    stage = "crops"
    record = "run/verification.json"
    resources = WHOLE_MACHINE

    def home(self) -> StoreTask:
        """The record stands in the dataset's directory, under run/: it is no part of what the dataset is."""
        return MakeCrops(dataset=self.dataset)

    def requires(self) -> dict[str, StoreTask | list[StoreTask]]:
        """Nothing: looking must not make anything. To rebuild takes the plan, and the archives of a download."""
        if not self.rebuild:
            return {}
        planned = PlanCrops(dataset=self.dataset)
        return {"plan": planned, "downloads": planned.requires().requires()}

    @cached_property
    def run_id(self) -> str:
        """What tells this run's answer from any other's; Luigi asks for it before it forks."""
        return secrets.token_hex(8)

    def output(self) -> luigi.LocalTarget:
        """Return the record, which counts for this run only."""
        return ThisRunsTarget(str(self.directory() / self.record), self.run_id)

    def write_spec(self) -> None:
        """Leave spec.json as it is: it belongs to what is looked at."""

    def make(self) -> None:
        """Look, rebuild where that is asked for, and write down both."""
        level = verify.LEVELS[-1] if self.full else self.level
        _, headers, _ = verify.find_headers(self.directory())
        with stage(self, "shards") as progress:
            found = verify.verify_dataset(
                self.directory(), level, processes=usable_cores(), progress=progress
            )
        rebuilt, left = [], found
        if self.rebuild:
            rebuild.sweep(self.directory())
        if found and self.rebuild:
            rebuilt = self._rebuild(found, {header.shard: header for header in headers})
            # The other shards were looked at a moment ago.
            left = verify.verify_dataset(self.directory(), level, closely=rebuilt, processes=usable_cores())
        record = Verification(
            schema=SCHEMA,
            run=self.run_id,
            level=level,
            finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            shards=len(headers),
            crops=sum(header.samples for header in headers),
            damage=tuple(found),
            rebuilt=tuple(rebuilt),
            left=tuple(left),
        )
        write_json(self.directory() / self.record, to_plain(record))
        if left:
            raise self._complaint(left)

    def _rebuild(self, found: list[Damage], headers: dict) -> list[str]:
        """Make again the shards that are damaged or missing, and what stands beside them; return their names."""
        planned = self.requires()["plan"]
        damaged = {one.shard for one in found}
        names = [shard["name"] for shard in crop_plan.planned_shards(planned.directory())]
        shards = {name: headers.get(name) for name in names if name in damaged or name not in headers}
        with stage(self, "shards rebuilt") as progress:
            rebuild.rebuild_shards(
                self.directory(),
                shards,
                planned.directory(),
                planned.requires().source(),
                pack_settings(),
                processes=usable_cores(),
                progress=progress,
            )
        write_json(self.directory() / "spec.json", self.home().spec())
        self.home().finish()
        return list(shards)

    def _complaint(self, left: list[Damage]) -> UserError:
        shards = sorted({one.shard for one in left if one.shard})
        named = f"{len(shards)} damaged shards ({_first(shards, ', ')}); " if shards else ""
        findings = _first([f"{one.file}: {one.detail}" for one in left], "; ")
        remedy = f"see {self.record}; " + (
            "what could not be made again is to be mended by hand"
            if self.rebuild
            else "--rebuild makes them again"
        )
        expected = "everything as it was written"
        return UserError(expected, named + findings, str(self.directory()), remedy)

    def last(self) -> Verification:
        """Return what the last verification found, whoever made it."""
        path = self.directory() / self.record
        return from_plain(Verification, read_json(path), str(path))

    def counts(self) -> str:
        """Return what was looked at and what was found."""
        one = self.last()
        found = (
            f"{len(one.damage)} findings, {len(one.rebuilt)} shards rebuilt" if one.damage else "all is sound"
        )
        return f"{one.crops} crops in {one.shards} shards, level {one.level}: {found}"

    def summary(self) -> str:
        """Say what was found, and where that is written."""
        return f"Verified: {self.directory()}\n{self.counts()}. {self.output().path}"


class ExportFolder(DatasetTask):
    """Crop dataset → plain files, with lists for DALI and BasicSR."""

    stage = "folders"
    record = export_folder.RECORD

    def requires(self) -> dict[str, StoreTask]:
        """The dataset."""
        return {"dataset": MakeCrops(dataset=self.dataset)}

    def make(self) -> None:
        """Copy."""
        with stage(self, "crops", resumes=True) as progress:
            export_folder.export_folder(
                self.requires()["dataset"].directory(),
                self.directory(),
                spec_hash=self.directory_name.rpartition("-")[2],
                threads=threads(),
                progress=progress,
            )

    def written(self) -> FolderManifest:
        """Return the record."""
        return from_plain(FolderManifest, read_json(Path(self.output().path)), self.output().path)

    def counts(self) -> str:
        """Return the number of images by split."""
        return ", ".join(f"{count} {split}" for split, count in sorted(self.written().crops.items()))

    def summary(self) -> str:
        """Say where the images and the lists are."""
        return (
            f"Images: {self.directory()}\n{self.counts()}, {self.written().bytes / 1e6:.1f} MB, copied out of the "
            "shards. file_list/ has lists for DALI, meta_info/ for BasicSR."
        )


def _first(texts: list[str], between: str) -> str:
    more = f"{between}and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return between.join(texts[:_SHOWN]) + more
