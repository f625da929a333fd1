"""Find crops that show parts of benchmark or validation images: DescribeShard, DescribeCrops, MatchParts."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import luigi

from data.atomic_files import read_json, write_json
from data.records import SCHEMA
from data.shards import ShardPaths
from pipeline import dataset, index
from pipeline.parts import sidecar
from pipeline.selection import part_records, parts
from pipeline.selection.leakage import Benchmark, hash_benchmarks
from pipeline.selection.part_embeddings import Embedded
from pipeline.selection.part_matches import DescribedDataset
from pipeline.selection.settings import SelectionSettings
from tasks.config import evaluation
from tasks.crops import MakeCrops
from tasks.download import DatasetTask
from tasks.embeddings import EmbedBenchmark, EmbedCrops
from tasks.index import IndexSource
from tasks.runtime.cpu_share import cpu_share
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask
from tasks.selection_config import selection

_SETTINGS = ("leakage_bits", "copy_bits", "group_bits", "seed")


def benchmarks_kept_clear() -> list[IndexSource]:
    """Return the benchmarks whose images must not be trained on; none if leakage is not looked for."""
    if selection().leakage_bits < 0:
        return []
    return [IndexSource(dataset=name) for name in evaluation().benchmarks]


def datasets_to_describe() -> list[MakeCrops]:
    """Return the datasets of [selection] whose crops are compared by parts."""
    wanted, datasets = selection().parts, [MakeCrops(dataset=name) for name in selection().datasets]
    if wanted == "off" or (wanted == "auto" and not benchmarks_kept_clear()):
        return []
    return [one for one in datasets if wanted == "on" or not one.is_drawn]


class DescribeShard(DatasetTask):
    """Shard → local features of its crops."""

    shard: str = luigi.Parameter(description="name of the shard, e.g. train-000000")
    stage = "features"

    @property
    def crops(self) -> MakeCrops:
        """The crop dataset."""
        return MakeCrops(dataset=self.dataset)

    def requires(self) -> MakeCrops:
        """The crop dataset."""
        return self.crops

    def paths(self) -> sidecar.FeaturePaths:
        """Return the paths of the files."""
        return sidecar.FeaturePaths(self.directory(), self.shard)

    def record_path(self) -> Path:
        """Return the path of the shard's record."""
        return self.paths().record

    def home(self) -> "DescribeCrops":
        """Return the dataset's task: features are written into its directory."""
        return DescribeCrops(dataset=self.dataset)

    def make(self) -> None:
        """Describe the shard's crops."""
        manifest = dataset.read_manifest(self.crops.directory())
        names = [one.shard for one in manifest.shards]
        with stage(self, "crops", sum(one.samples for one in manifest.shards)) as progress:
            sidecar.describe_shard(
                ShardPaths(self.crops.directory(), self.shard),
                manifest.crop_size_px,
                self.paths(),
                processes=cpu_share(len(names), names.index(self.shard)),
                progress=progress,
            )

    def counts(self) -> str:
        """Return the number of crops."""
        return f"{self.load_record()['crops']} crops"


class DescribeCrops(DatasetTask):
    """Crop dataset → local features of all its crops, beside the dataset."""

    stage = "features"
    format_version = 2  # 2: described at a quarter of the size; the number of plain crops
    record = "features.json"

    @property
    def crops(self) -> MakeCrops:
        """The crop dataset."""
        return MakeCrops(dataset=self.dataset)

    def requires(self) -> MakeCrops:
        """The crop dataset; its shards are known once it is finished."""
        return self.crops

    def dynamic_requires(self) -> list[DescribeShard]:
        """Return one DescribeShard for each shard."""
        if not self.crops.complete():
            return []
        shards = dataset.read_manifest(self.crops.directory()).shards
        return [DescribeShard(dataset=self.dataset, shard=one.shard) for one in shards]

    def make(self) -> Iterator[Sequence[luigi.Task]]:
        """Wait for the shards, then count them."""
        shards = self.dynamic_requires()
        yield shards
        crops = {one.shard: read_json(one.record_path())["crops"] for one in shards}
        write_json(self.record_path(), {"schema": SCHEMA, "shards": crops})

    def counts(self) -> str:
        """Return the number of crops."""
        return f"{sum(self.load_record()['shards'].values())} crops"


class MatchParts(StoreTask):
    """Features of crops, and benchmarks → which crops show parts of benchmark or validation images."""

    stage = "parts"
    record = part_records.RECORD

    @property
    def datasets(self) -> list[MakeCrops]:
        """All crop datasets of [selection], in their order."""
        return [MakeCrops(dataset=name) for name in selection().datasets]

    @property
    def described(self) -> dict[str, DescribeCrops]:
        """The features of those datasets that are compared, by dataset."""
        return {one.dataset: DescribeCrops(dataset=one.dataset) for one in datasets_to_describe()}

    def requires(self) -> dict[str, list[Any]]:
        """The datasets, the features, and the benchmarks."""
        return {
            "datasets": self.datasets,
            "features": list(self.described.values()),
            "benchmarks": benchmarks_kept_clear(),
            "embeddings": [*self.embedded.values(), *self.embedded_benchmarks],
        }

    @property
    def embedded(self) -> dict[str, EmbedCrops]:
        """The embeddings of those datasets that are compared, by dataset; none without an embedder."""
        if not selection().embedder:
            return {}
        return {one.dataset: EmbedCrops(dataset=one.dataset) for one in datasets_to_describe()}

    @property
    def embedded_benchmarks(self) -> list[EmbedBenchmark]:
        """The embeddings of the benchmarks; none without an embedder."""
        if not selection().embedder:
            return []
        return [EmbedBenchmark(dataset=one.dataset) for one in benchmarks_kept_clear()]

    def name(self) -> str:
        """Return the datasets' names."""
        return "+".join(task.name() for task in self.datasets)[:60]

    def parameters(self) -> dict[str, Any]:
        """Return what says which images are found whole, which are not compared again, and which are for validation."""
        settings = {name: getattr(selection(), name) for name in _SETTINGS}
        return settings | ({"min_similarity": selection().min_similarity} if selection().embedder else {})

    def _embeddings(self) -> Embedded | None:
        """Return what is compared by embeddings."""
        if not selection().embedder:
            return None
        of_crops = self.embedded
        datasets = [of_crops.get(one.dataset) for one in self.datasets]
        return Embedded(
            tuple(one.directory() if one else None for one in datasets),
            tuple((one.index.name(), one.directory()) for one in self.embedded_benchmarks),
            selection().min_similarity,
        )

    def make(self) -> None:
        """Compare the crops."""
        benchmarks = [
            Benchmark(one.name(), one.source(), index.read_entries(one.directory()))
            for one in benchmarks_kept_clear()
        ]
        described = self.described
        datasets = [
            DescribedDataset(
                one.directory(),
                described[one.dataset].directory() if one.dataset in described else None,
            )
            for one in self.datasets
        ]
        with stage(self, "shards") as progress:
            parts.find_parts(
                datasets,
                benchmarks,
                hash_benchmarks(benchmarks),
                SelectionSettings(**{name: getattr(selection(), name) for name in _SETTINGS}),
                self.directory(),
                embedded=self._embeddings(),
                processes=cpu_share(),
                progress=progress,
            )

    def counts(self) -> str:
        """Return how many crops show parts."""
        totals = part_records.read_parts_record(self.directory()).totals
        return (
            f"{totals['crops']} crops compared with {totals['benchmark_images']} benchmark and "
            f"{totals['validation_images']} validation images: {totals['shows_benchmark']} and "
            f"{totals['shows_validation']} show parts of them; {totals['too_plain']} crops are too plain to tell"
        )

    def summary(self) -> str:
        """Return where the list is, and the counts."""
        return f"Parts: {self.directory() / part_records.LEAKS}\n{self.counts()}."
