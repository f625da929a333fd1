"""Check a finished crop dataset and repair it: VerifyDataset."""

import datetime

from data.atomic_files import write_json
from data.cpu_count import usable_cores
from data.errors import UserError
from data.record_json import from_plain, to_plain
from data.records import SCHEMA, ShardHeader
from pipeline import rebuild, verify
from pipeline.verify_records import Damage, Verification
from tasks.crop_settings import pack_settings
from tasks.crops import MakeCrops, PlanCrops
from tasks.download import DatasetTask
from tasks.runtime.every_run_task import EveryRunTask
from tasks.runtime.parameters import BoolParameter, ChoiceParameter
from tasks.runtime.progress import stage
from tasks.runtime.store_task import WHOLE_MACHINE, StoreTask

_SHOWN = 4
"""How many shards and findings an error message lists; verification.json has all."""


class VerifyDataset(EveryRunTask, DatasetTask):
    """Crop dataset → what in it is damaged, by name; with --rebuild, repaired."""

    level: str = ChoiceParameter(
        default=verify.LEVELS[0],
        choices=verify.LEVELS,
        description="headers: sizes and small files; hashes: also every byte; full: also every image decoded",
    )
    rebuild: bool = BoolParameter(description="make the damaged shards again, and no others")
    stage = "crops"
    record = "run/verification.json"
    resources = WHOLE_MACHINE

    @property
    def crops(self) -> MakeCrops:
        """The dataset to verify."""
        return MakeCrops(dataset=self.dataset)

    @property
    def plan(self) -> PlanCrops:
        """The crop plan of the dataset."""
        return self.crops.plan

    def home(self) -> MakeCrops:
        """Return the dataset's task: the record is in its directory, under run/, as it is not part of the dataset."""
        return self.crops

    def requires(self) -> dict[str, StoreTask | list[StoreTask]]:
        """Nothing, as verifying must not make anything; a rebuild needs the plan and the downloaded archives."""
        if not self.rebuild:
            return {}
        return {"plan": self.plan, "downloads": [*self.plan.index.requires()]}

    def write_spec(self) -> None:
        """Leave spec.json unchanged: it is part of what is verified."""

    def make(self) -> None:
        """Verify, rebuild where asked to, and write down both.

        Raises:
            UserError: something is still damaged.
        """
        _, headers, _ = verify.read_shard_headers(self.directory())
        with stage(self, "shards") as progress:
            damage = verify.verify_dataset(
                self.directory(), self.level, processes=usable_cores(), progress=progress
            )
        rebuilt: list[str] = []
        remaining = damage
        if self.rebuild:
            rebuild.remove_leftovers(self.directory())
        if damage and self.rebuild:
            rebuilt = self._rebuild(damage, {header.shard: header for header in headers})
            # The other shards have just been verified.
            remaining = verify.verify_dataset(
                self.directory(), self.level, deep_shards=rebuilt, processes=usable_cores()
            )
        record = Verification(
            schema=SCHEMA,
            run=self.run_id,
            level=self.level,
            finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            shards=len(headers),
            crops=sum(header.samples for header in headers),
            damage=tuple(damage),
            rebuilt=tuple(rebuilt),
            remaining=tuple(remaining),
        )
        write_json(self.record_path(), to_plain(record))
        if remaining:
            raise self._damage_error(remaining)

    def _rebuild(self, damage: list[Damage], headers: dict[str, ShardHeader]) -> list[str]:
        """Make the damaged and missing shards again, and the dataset's other files; return the names of the shards."""
        damaged = {one.shard for one in damage}
        shards = {
            name: headers.get(name) for name in self.plan.shards() if name in damaged or name not in headers
        }
        with stage(self, "shards rebuilt") as progress:
            rebuild.rebuild_shards(
                self.directory(),
                shards,
                self.plan.directory(),
                self.plan.index.source(),
                pack_settings(),
                processes=usable_cores(),
                progress=progress,
            )
        write_json(self.directory() / "spec.json", self.crops.spec())
        self.crops.finish()
        return list(shards)

    def _damage_error(self, damage: list[Damage]) -> UserError:
        shards = sorted({one.shard for one in damage if one.shard})
        in_shards = f"{len(shards)} damaged shards ({_join_first(shards, ', ')}); " if shards else ""
        findings = _join_first([f"{one.file}: {one.detail}" for one in damage], "; ")
        hint = (
            "What could not be made again has to be repaired by hand"
            if self.rebuild
            else "Add --rebuild to make the damaged shards again"
        )
        message = f"The dataset {self.directory()} is damaged: {in_shards}{findings}"
        return UserError(message, f"{hint}; {self.record} lists everything")

    def last(self) -> Verification:
        """Return the result of the last verification, from this run or another."""
        return from_plain(Verification, self.load_record(), str(self.record_path()))

    def counts(self) -> str:
        """Return what was verified and what was found."""
        result = self.last()
        found = (
            f"{len(result.damage)} findings, {len(result.rebuilt)} shards rebuilt"
            if result.damage
            else "no damage found"
        )
        return f"{result.crops} crops in {result.shards} shards, level {result.level}: {found}"

    def summary(self) -> str:
        """Return what was found, and where that is written."""
        return f"Verified: {self.directory()}\n{self.counts()}. {self.record_path()}"


def _join_first(texts: list[str], separator: str) -> str:
    more = f"{separator}and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return separator.join(texts[:_SHOWN]) + more
