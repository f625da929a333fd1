"""Fetch the images of a dataset that is published as a list of URLs: FetchUrls."""

from pathlib import Path

from pipeline.download import url_list
from tasks.download import DownloadedTask
from tasks.runtime.progress import stage
from tasks.runtime.store import store


class FetchUrls(DownloadedTask):
    """List of URLs → images, and why the other links gave none."""

    stage = "url_lists"
    record = url_list.RECORD

    def make(self) -> None:
        """Fetch what is not there yet."""
        section = store()
        listed = url_list.read_url_lists(self.download.verified_files(), self.dataset_spec.members)
        hosts = url_list.count_hosts(listed)
        print(
            f"{len(listed):,} URLs of {hosts:,} hosts: at most {section.list_connections} requests at once, "
            f"{section.host_connections} to one host"
        )
        settings = url_list.PoliteSettings(section.list_connections, section.host_connections)
        with stage(self, "URLs", resumes=True) as progress:
            url_list.fetch_urls(listed, self.directory(), settings, progress=progress)

    def images(self) -> Path:
        """Return the directory of the images and the failures."""
        return self.directory()

    def counts(self) -> str:
        """Return how many URLs gave an image."""
        totals = url_list.read_fetch_record(self.directory())["totals"]
        return (
            f"{totals['fetched']:,} of {totals['urls']:,} URLs gave an image, {totals['rejected']:,} did not"
        )

    def summary(self) -> str:
        """Return where the images are, and how many links failed for which reason."""
        reasons = url_list.read_fetch_record(self.directory())["rejections"].items()
        lines = "".join(f"\n  {count} {reason}" for reason, count in reasons)
        return f"Images: {self.directory()}\n{self.counts()}{':' if lines else '.'}{lines}"
