"""Fetch the archives of a dataset in the catalog: Download. DatasetTask is the base of all tasks about one dataset."""

from functools import cached_property
from pathlib import Path
from typing import Any

import luigi

from data.catalog.resolve import resolve_dataset
from data.catalog.spec import DatasetSpec
from data.errors import UserError
from pipeline.download import download
from pipeline.download.transfer import TransferSettings
from tasks import known_sources
from tasks.runtime.progress import stage
from tasks.runtime.store import store
from tasks.runtime.store_task import StoreTask

LPIPS_WEIGHTS = "LPIPS_AlexNet"
"""The catalog's name of the weights of LPIPS."""


class DatasetTask(StoreTask):
    """A task about one dataset: a catalog name or a path."""

    dataset: str = luigi.Parameter(
        description="a catalog name (DIV2K), a path (./photos, photos.zip, photos.tar.gz, video.mkv), a disc (disc:0), "
        "or images:FOLDER or videos:FOLDER where a folder holds both"
    )

    @cached_property
    def dataset_spec(self) -> DatasetSpec:
        """What the catalog or the path says of the dataset.

        To resolve a path lists its folders. A task that makes one part of another's result leaves that to the other.
        """
        home = self.home()
        if home is not self and isinstance(home, DatasetTask):
            return home.dataset_spec
        if known := known_sources.find_spec(self.dataset):
            return known
        catalog = store().catalog
        return resolve_dataset(self.dataset, Path(catalog) if catalog else None)

    def name(self) -> str:
        """Return the dataset's name."""
        return self.dataset_spec.name


class Download(DatasetTask):
    """Catalog → verified archives."""

    stage = "downloads"
    record = download.RECORD

    def parameters(self) -> dict[str, Any]:
        """Return the published files."""
        files = [[file.name, file.bytes, file.sha256, file.md5] for file in self.dataset_spec.files]
        return {"files": files}

    def is_done(self) -> bool:
        """Return whether the record exists and the files have not changed since they were verified."""
        return super().is_done() and download.is_unchanged(self.dataset_spec, self.directory())

    def make(self) -> None:
        """Link the archives that are already on disk, and fetch the others."""
        section = store()
        settings = download.DownloadSettings(section.archives, TransferSettings(section.connections))
        with stage(self, "bytes", resumes=True) as progress:
            download.download_dataset(self.dataset_spec, self.directory(), settings, progress=progress)

    def files(self) -> list[Path]:
        """Return the paths of the downloaded files, in the catalog's order."""
        return [self.directory() / file.name for file in self.dataset_spec.files]

    def verified_files(self) -> list[Path]:
        """Return `files()` after checking that they have not changed since they were verified.

        Raises:
            UserError: one was removed or changed.
        """
        if not self.complete():
            message = f"The verified archives in {self.directory()} were removed or changed"
            hint = f"Run `luigi --module tasks Download --dataset {self.dataset}`, then this command again"
            raise UserError(message, hint)
        return self.files()

    def summary(self) -> str:
        """Return where the files are, and their sizes."""
        lines = "".join(f"\n{path.resolve()}, {path.stat().st_size} bytes" for path in self.files())
        return f"Download: {self.directory()}{lines}"


class DownloadedTask(DatasetTask):
    """A task that makes a dataset's files of what was downloaded."""

    @property
    def download(self) -> Download:
        """What was downloaded."""
        return Download(dataset=self.dataset)

    def requires(self) -> Download:
        """What was downloaded."""
        return self.download

    def parameters(self) -> dict[str, Any]:
        """Return which of the downloaded files it takes."""
        return {"members": self.dataset_spec.members}
