"""Copy a crop dataset out of its shards to plain files: ExportFolder."""

from data.record_json import from_plain
from pipeline import export_folder
from pipeline.export_folder import FolderManifest
from tasks.crops import MakeCrops
from tasks.download import DatasetTask
from tasks.runtime.cpu_share import cpu_share
from tasks.runtime.progress import stage


class ExportFolder(DatasetTask):
    """Crop dataset → plain files, with lists for DALI and BasicSR."""

    stage = "folders"
    record = export_folder.RECORD

    @property
    def crops(self) -> MakeCrops:
        """The dataset to copy."""
        return MakeCrops(dataset=self.dataset)

    def requires(self) -> dict[str, MakeCrops]:
        """The dataset."""
        return {"dataset": self.crops}

    def make(self) -> None:
        """Copy every crop to a file, and write the lists."""
        with stage(self, "crops", resumes=True) as progress:
            export_folder.export_folder(
                self.crops.directory(),
                self.directory(),
                spec_hash=self.spec_hash,
                threads=cpu_share(),
                progress=progress,
            )

    def manifest(self) -> FolderManifest:
        """Return the record."""
        return from_plain(FolderManifest, self.load_record(), str(self.record_path()))

    def counts(self) -> str:
        """Return the number of images in each split."""
        return ", ".join(f"{count} {split}" for split, count in sorted(self.manifest().crops.items()))

    def summary(self) -> str:
        """Return where the images and the lists are."""
        return (
            f"Images: {self.directory()}\n{self.counts()}, {self.manifest().bytes / 1e6:.1f} MB, copied out of the "
            "shards. file_list/ has lists for DALI, meta_info/ for BasicSR."
        )
