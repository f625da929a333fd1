"""Describe crops and benchmark images by a copy detection network: EmbedShard, EmbedCrops, EmbedBenchmark."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import luigi

from data.atomic_files import read_json, write_json
from data.embeddings import IMAGES, EmbeddingPaths
from data.errors import UserError
from data.hashing import sha256_file
from data.records import SCHEMA
from data.shards import ShardPaths
from pipeline import dataset, index
from tasks.crops import MakeCrops
from tasks.download import DatasetTask
from tasks.index import IndexSource
from tasks.runtime.cpu_share import cpu_share
from tasks.runtime.progress import stage
from tasks.scores import scores
from tasks.selection_config import selection


class _EmbedTask(DatasetTask):
    """A task about one dataset and the network of [selection]."""

    stage = "embeddings"
    extra = "export"

    @property
    def network(self) -> Path:
        """The file of the network.

        Raises:
            UserError: it is not there.
        """
        path = Path(selection().embedder)
        if not path.is_file():
            raise UserError(f"[selection] embedder: there is no file {path}", "Correct the path")
        return path

    @cached_property
    def network_sha256(self) -> str:
        """The sha256 of the file."""
        return sha256_file(self.network)


class EmbedShard(_EmbedTask):
    """Shard → embeddings of its crops."""

    shard: str = luigi.Parameter(description="name of the shard, e.g. train-000000")

    @property
    def crops(self) -> MakeCrops:
        """The crop dataset."""
        return MakeCrops(dataset=self.dataset)

    def requires(self) -> MakeCrops:
        """The crop dataset."""
        return self.crops

    def record_path(self) -> Path:
        """Return the path of the shard's record."""
        return EmbeddingPaths(self.directory(), self.shard).record

    def home(self) -> "EmbedCrops":
        """Return the dataset's task: embeddings are written into its directory."""
        return EmbedCrops(dataset=self.dataset)

    def make(self) -> None:
        """Describe the shard's crops."""
        from sr.scoring.embed import embed_shard, open_embedder

        manifest = dataset.read_manifest(self.crops.directory())
        names = [one.shard for one in manifest.shards]
        threads = cpu_share(len(names), names.index(self.shard))
        with stage(self, "crops", sum(one.samples for one in manifest.shards)) as progress:
            embed_shard(
                ShardPaths(self.crops.directory(), self.shard),
                open_embedder(self.network, threads),
                EmbeddingPaths(self.directory(), self.shard),
                batch_size=scores().batch_size,
                progress=progress,
            )

    def counts(self) -> str:
        """Return the number of crops."""
        return f"{len(self.load_record()['names'])} crops"


class EmbedCrops(_EmbedTask):
    """Crop dataset → embeddings of all its crops, beside the dataset."""

    record = "embeddings.json"

    @property
    def crops(self) -> MakeCrops:
        """The crop dataset."""
        return MakeCrops(dataset=self.dataset)

    def requires(self) -> MakeCrops:
        """The crop dataset; its shards are known once it is finished."""
        return self.crops

    def parameters(self) -> dict[str, Any]:
        """Return the network, by its content."""
        return {"network": self.network_sha256}

    def dynamic_requires(self) -> list[EmbedShard]:
        """Return one EmbedShard for each shard."""
        if not self.crops.complete():
            return []
        shards = dataset.read_manifest(self.crops.directory()).shards
        return [EmbedShard(dataset=self.dataset, shard=one.shard) for one in shards]

    def make(self) -> Iterator[Sequence[luigi.Task]]:
        """Wait for the shards, then count them."""
        shards = self.dynamic_requires()
        yield shards
        crops = {one.shard: len(read_json(one.record_path())["names"]) for one in shards}
        write_json(self.record_path(), {"schema": SCHEMA, "shards": crops})

    def counts(self) -> str:
        """Return the number of crops."""
        return f"{sum(self.load_record()['shards'].values())} crops"


class EmbedBenchmark(_EmbedTask):
    """Benchmark → embeddings of windows of its images."""

    record = f"{IMAGES}.json"

    @property
    def index(self) -> IndexSource:
        """The benchmark."""
        return IndexSource(dataset=self.dataset)

    def requires(self) -> IndexSource:
        """The benchmark."""
        return self.index

    def parameters(self) -> dict[str, Any]:
        """Return the network, by its content."""
        return {"network": self.network_sha256}

    def make(self) -> None:
        """Describe the images."""
        from sr.scoring.embed import embed_images, open_embedder

        with stage(self, "images") as progress:
            embed_images(
                self.index.source(),
                list(index.read_entries(self.index.directory())),
                open_embedder(self.network, cpu_share()),
                EmbeddingPaths(self.directory(), IMAGES),
                progress=progress,
            )

    def counts(self) -> str:
        """Return the number of images."""
        return f"{len(set(self.load_record()['names']))} images"
