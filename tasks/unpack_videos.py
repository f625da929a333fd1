"""Unpack the videos of a dataset of the catalog: UnpackVideos."""

from pathlib import Path

from pipeline import unpack_videos
from tasks.download import DownloadedTask
from tasks.runtime.progress import stage


class UnpackVideos(DownloadedTask):
    """Archives of videos → videos."""

    stage = "videos"
    record = unpack_videos.RECORD

    def make(self) -> None:
        """Unpack what is not there yet."""
        with stage(self, "videos") as progress:
            unpack_videos.unpack_videos(
                self.download.verified_files(),
                self.directory(),
                self.dataset_spec.members,
                progress=progress,
            )

    def videos(self) -> Path:
        """Return the folder of the videos."""
        return self.directory() / unpack_videos.VIDEOS

    def counts(self) -> str:
        """Return the number of videos and their size, and what else there was."""
        videos, size_bytes, left_out = unpack_videos.count_unpacked(self.directory())
        others = ", ".join(f"{count} {suffix}" for suffix, count in left_out.items())
        return f"{videos} videos, {size_bytes / 1e9:.1f} GB" + (f"; left out: {others}" if others else "")

    def summary(self) -> str:
        """Return where the videos are."""
        return f"Videos: {self.videos()}\n{self.counts()}."
