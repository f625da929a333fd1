"""Score crops by networks that need no reference: ScoreShard, ScoreCrops."""

import importlib.metadata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import luigi

from data.atomic_files import write_json
from data.crop_scores import ScorePaths, ScoreRecord, read_score_record
from data.errors import UserError
from data.hashing import sha256_file
from data.records import SCHEMA
from data.shards import ShardPaths
from pipeline import dataset
from pipeline.quality_metrics import METRICS
from sr.scoring.metric_choice import MetricChoice, parse_metric
from tasks.crops import MakeCrops
from tasks.download import DatasetTask
from tasks.runtime.cpu_share import cpu_share
from tasks.runtime.list_parameters import StrListParameter
from tasks.runtime.parameters import BoolParameter, ChoiceParameter, IntParameter
from tasks.runtime.progress import stage


class scores(luigi.Config):
    """Scores of crops by networks that need no reference; rules of [selection] use them."""

    metrics: tuple[str, ...] = StrListParameter(
        default=(),
        description="metrics that score every crop before it is selected, separated by commas: names that pyiqa knows "
        "(hyperiqa), or NAME=FILE.onnx; see docs/how-to/select-crops.md",
    )
    batch_size: int = IntParameter(default=16, at_least=1, description="crops scored at once")
    device: str = ChoiceParameter(
        default="auto", choices=("auto", "cuda", "cpu"), description="where pyiqa's metrics run"
    )
    download: bool = BoolParameter(
        description="let pyiqa fetch weights that are not on disk; otherwise the error says which file belongs where"
    )


class _ScoreTask(DatasetTask):
    """A task about one dataset and one metric."""

    metric: str = luigi.Parameter(description="a name that pyiqa knows, or NAME=FILE.onnx")
    stage = "scores"

    @property
    def choice(self) -> MetricChoice:
        """The metric."""
        return parse_metric(self.metric)

    @property
    def extra(self) -> str:  # type: ignore[override]  # it depends on the metric
        """The extra that brings what runs the metric."""
        return "export" if "=" in self.metric else "scores"

    @property
    def crops(self) -> MakeCrops:
        """The crop dataset."""
        return MakeCrops(dataset=self.dataset)

    def requires(self) -> MakeCrops:
        """The crop dataset; its shards are known once it is finished."""
        return self.crops


class ScoreShard(_ScoreTask):
    """Shard → scores of its crops."""

    shard: str = luigi.Parameter(description="name of the shard, e.g. train-000000")

    def paths(self) -> ScorePaths:
        """Return the paths of the files."""
        return ScorePaths(self.directory(), self.shard)

    def record_path(self) -> Path:
        """Return the path of the shard's record."""
        return self.paths().record

    def home(self) -> "ScoreCrops":
        """Return the dataset's task: scores are written into its directory."""
        return ScoreCrops(dataset=self.dataset, metric=self.metric)

    def make(self) -> None:
        """Score the shard's crops."""
        from sr.scoring.score_shard import make_scorer, score_shard

        manifest = dataset.read_manifest(self.crops.directory())
        names, section, choice = [one.shard for one in manifest.shards], scores(), self.choice
        threads = cpu_share(len(names), names.index(self.shard))
        with stage(self, "crops", sum(one.samples for one in manifest.shards)) as progress:
            score_shard(
                ShardPaths(self.crops.directory(), self.shard),
                make_scorer(choice, section.device, threads, section.download),
                choice.name,
                self.paths(),
                batch_size=section.batch_size,
                progress=progress,
            )

    def counts(self) -> str:
        """Return the number of crops."""
        return f"{self.load_record()['crops']} crops"


class ScoreCrops(_ScoreTask):
    """Crop dataset → a score of each crop, by a network, beside the dataset."""

    record = "scores.json"

    def name(self) -> str:
        """Return the dataset's name and the metric's."""
        return f"{self.dataset_spec.name}-{self.choice.name}"

    def parameters(self) -> dict[str, Any]:
        """Return the metric: the file by its content, a metric of pyiqa by pyiqa's version."""
        choice = self.choice
        if choice.name in METRICS:
            message = (
                f"[scores] metrics: {choice.name} is the name of a quality metric that is stored already"
            )
            raise UserError(message, "Give the ONNX file another name; of pyiqa, use another metric")
        by = {"sha256": sha256_file(choice.path)} if choice.path else {"pyiqa": _pyiqa_version()}
        return {"metric": choice.name} | by

    def dynamic_requires(self) -> list[ScoreShard]:
        """Return one ScoreShard for each shard."""
        if not self.crops.complete():
            return []
        shards = dataset.read_manifest(self.crops.directory()).shards
        return [ScoreShard(dataset=self.dataset, metric=self.metric, shard=one.shard) for one in shards]

    def make(self) -> Iterator[Sequence[luigi.Task]]:
        """Wait for the shards, then count them.

        Raises:
            UserError: some were scored with other weights than the rest.
        """
        shards = self.dynamic_requires()
        yield shards
        records = [read_score_record(one.paths()) for one in shards]
        if len({one.network_sha256 for one in records}) > 1:
            message = f"Shards in {self.directory()} were scored with different weights of {self.choice.name}"
            raise UserError(message, "Delete the directory, and run the command again")
        write_json(self.record_path(), _sum_up(self.choice.name, [one.shard for one in shards], records))

    def counts(self) -> str:
        """Return how many crops have a score."""
        record = self.load_record()
        crops, missing = sum(record["shards"].values()), record["without_score"]
        return f"{crops} crops" + (f", {missing} of them without a score" if missing else "")

    def summary(self) -> str:
        """Return where the scores are, their range, and why crops have none."""
        record = self.load_record()
        lines = [f"Scores: {self.directory()}", f"{self.choice.name}: {self.counts()}."]
        if record["without_score"]:
            lines.append(f"The first of these: {record['first_failure']}")
        return "\n".join(lines)


def _sum_up(metric: str, shards: Sequence[str], records: Sequence[ScoreRecord]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "metric": metric,
        "shards": {shard: one.crops for shard, one in zip(shards, records, strict=True)},
        "without_score": sum(one.without_score for one in records),
        "first_failure": next((one.first_failure for one in records if one.first_failure), ""),
        "network_sha256": records[0].network_sha256 if records else "",
    }


def _pyiqa_version() -> str:
    try:
        return importlib.metadata.version("pyiqa")
    except importlib.metadata.PackageNotFoundError:  # the check of extras, or the import, says so
        return ""
