"""Finished directories of the store at a URL: PublishDataset, FetchDataset."""

import dataclasses
import secrets
from functools import cached_property
from pathlib import Path
from typing import Any

import luigi

from data.atomic_files import read_json, write_json
from data.errors import UserError
from data.redacted_urls import redact
from pipeline.publish.fetch import fetch, is_fetched, split_url
from pipeline.publish.file_list import Place, find_place, require_finished
from pipeline.publish.publish import publish
from pipeline.publish.remote import check_url
from tasks.crops import MakeCrops
from tasks.remote_config import UrlParameter, remote
from tasks.runtime.every_run_task import EveryRunTask
from tasks.runtime.parameters import BoolParameter, PathParameter
from tasks.runtime.progress import stage
from tasks.runtime.store import store
from tasks.runtime.store_task import StoreTask
from tasks.select import SelectSamples
from tasks.selection_config import selection


class PublishDataset(EveryRunTask):
    """Finished dataset, selection, model or export → the same at a URL, the record last.

    It sends what is not there yet, so the same command goes on after an interruption. A selection brings its datasets.
    """

    dataset: str = luigi.Parameter(default="", description="the dataset to publish, as MakeCrops takes it")
    result: str = PathParameter(
        default="",
        description="a finished directory of the store to publish instead: work/selections/NAME-HEX, also of models "
        "and exports",
    )
    url: str = UrlParameter(
        default="",
        description="where to: s3://bucket/folder, gs://, az://, hf://datasets/USER/REPOSITORY, file:///folder; "
        "empty: [remote] url",
    )
    read_back: bool = BoolParameter(description="read every byte back in the end, and compare it")
    stage = "crops"
    record = "run/publication.json"

    @property
    def crops(self) -> MakeCrops | None:
        """The dataset to publish; None where a directory is named."""
        if bool(self.dataset) == bool(self.result):
            message = "PublishDataset needs either --dataset or --result"
            raise UserError(
                message, "Name a dataset, or a finished directory such as work/selections/NAME-HEX"
            )
        return MakeCrops(dataset=self.dataset) if self.dataset else None

    def requires(self) -> dict[str, MakeCrops]:
        """The dataset, if one is named; a directory must be finished."""
        self.target_url()
        return {"dataset": self.crops} if self.crops else {}

    def name(self) -> str:
        """Return the dataset's or the directory's name."""
        return self.crops.name() if self.crops else Path(self.result).name

    def directory(self) -> Path:
        """Return the directory that is published; the record of the publication is under its run/."""
        return self.crops.directory() if self.crops else Path(self.result)

    def write_spec(self) -> None:
        """Write nothing: the directory is another task's."""

    def target_url(self) -> str:
        """Return the URL to publish to.

        Raises:
            UserError: there is none, it is of an unknown kind, or a package for it is missing.
        """
        url = self.url or remote().url
        if not url:
            message = "PublishDataset needs --url, as [remote] url is empty"
            raise UserError(message, "Give a URL such as s3://bucket/folder")
        check_url(url)
        return url

    def make(self) -> None:
        """Publish, and write down what was sent."""
        directory = self.directory()
        if find_place(directory.absolute().as_posix()) is None or not self.dataset:
            require_finished(directory)
        with stage(self, "bytes", resumes=True) as progress:
            published = publish(
                directory,
                self.target_url(),
                remote().settings(),
                read_back=self.read_back,
                progress=progress,
            )
        record = {
            "schema": 1,
            "run": self.run_id,
            "url": redact(self.target_url()),
            "read_back": self.read_back,
            "directories": [dataclasses.asdict(one) for one in published],
        }
        write_json(self.record_path(), record)

    def summary(self) -> str:
        """Return the URL of each directory, what was sent, and what there is not part of it."""
        record = self.load_record()
        lines = []
        for one in record["directories"]:
            lines.append(
                f"Published: {record['url'].rstrip('/')}/{one['directory']}\n"
                f"{one['files']} files, {one['bytes'] / 1e6:.1f} MB, of which {one['sent_files']} files, "
                f"{one['sent_bytes'] / 1e6:.1f} MB were sent now"
                + (", and every byte read back." if record["read_back"] else ".")
            )
            if one["strays"]:
                shown = ", ".join(one["strays"][:4])
                lines.append(f"Warning: {len(one['strays'])} files there do not belong to it: {shown}")
            if one["note"]:
                lines.append(f"Note: {one['note']}.")
        return "\n".join(lines)


class FetchDataset(StoreTask):
    """Published dataset, selection, model or export → the same directory in this store, verified.

    A selection brings the shards that it reads, and no others, into the store's cache.
    """

    url: str = UrlParameter(description="URL of the published directory, as PublishDataset printed it")
    stage = "crops"
    record = "dataset.json"

    @cached_property
    def run_id(self) -> str:
        """A random id of this run."""
        return secrets.token_hex(8)

    @property
    def place(self) -> Place:
        """Which directory it is."""
        return split_url(self.url)[1]

    @cached_property
    def directory_name(self) -> str:
        """`<stage>/<name>-<12 hex>`, as at the URL: what was fetched counts as made here."""
        return self.place.directory

    def name(self) -> str:
        """Return the directory's name."""
        return self.place.name

    def record_path(self) -> Path:
        """Return the path of the directory's record."""
        return self.directory() / self.place.record

    def is_done(self) -> bool:
        """Return whether the directory is whole, and the shards of a selection are there."""
        assert self.run_id  # Luigi asks before it forks, so that all processes of a run have one id
        return is_fetched(self.directory(), self.place)

    def write_spec(self) -> None:
        """Write nothing: spec.json is fetched, too."""

    def make(self) -> None:
        """Fetch it."""
        with stage(self, "bytes", resumes=True) as progress:
            fetched = fetch(self.url, Path(store().root), remote().settings(), progress)
        record = {"schema": 1, "run": self.run_id, **dataclasses.asdict(fetched)}
        write_json(self.directory() / "run" / "fetch.json", record)

    def summary(self) -> str:
        """Return where it is, and what was fetched."""
        path = self.directory() / "run" / "fetch.json"
        found: dict[str, Any] = read_json(path) if path.is_file() else {}
        if found.get("run") != self.run_id:
            return f"Fetched: {self.directory()}\nIt was there already."
        evicted = (
            f"\nRemoved from the cache to make room: {found['evicted']} shards of other selections."
            if found["evicted"]
            else ""
        )
        return (
            f"Fetched: {self.directory()}\n{found['files']} files, {found['bytes'] / 1e6:.1f} MB, of which "
            f"{found['fetched_bytes'] / 1e6:.1f} MB were fetched, all verified.{evicted}"
        )


def selected_samples() -> SelectSamples | FetchDataset:
    """Return the task that makes the selection to train on: SelectSamples, or FetchDataset of [selection] url.

    Raises:
        UserError: [selection] url is the URL of something else.
    """
    url = selection().url
    if not url:
        return SelectSamples()
    fetched = FetchDataset(url=url)
    if fetched.place.stage != "selections":
        message = f"[selection] url is the URL of {fetched.place.directory}, which is no selection"
        raise UserError(message, "Give the URL of a published selection: …/selections/NAME-HEX")
    return fetched
