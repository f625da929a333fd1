"""Show what a selection has chosen: ReviewSelection."""

from pathlib import Path

from pipeline.selection_page import selection_page
from tasks.crops import MakeCrops
from tasks.index import IndexSource
from tasks.runtime.store_task import StoreTask
from tasks.select import SelectSamples


class ReviewSelection(StoreTask):
    """Selection → selection.html: what each threshold does, and the images nearest to it."""

    stage = "reviews"
    format_version = 2  # 2: the thresholds of the datasets
    record = selection_page.RECORD

    @property
    def selection(self) -> SelectSamples:
        """The selection to show."""
        return SelectSamples()

    def requires(self) -> dict[str, SelectSamples | list[MakeCrops] | list[IndexSource]]:
        """The selection, the datasets, whose crops are shown, and the benchmarks."""
        return {"selection": self.selection, **self.selection.requires()}

    def name(self) -> str:
        """Return the datasets' names."""
        return self.selection.name()

    def make(self) -> None:
        """Write the page."""
        selection = self.selection
        selection_page.write_selection_page(
            [one.directory() for one in selection.datasets],
            selection.directory(),
            selection.open_benchmarks(),
            selection.settings(),
            [one.thresholds() for one in selection.datasets],
            self.directory(),
            self.spec_hash,
        )

    def page_path(self) -> Path:
        """Return the path of the page."""
        return self.directory() / selection_page.PAGE

    def counts(self) -> str:
        """Return the number of crops in each split."""
        return self.selection.counts()

    def summary(self) -> str:
        """Return where the page is."""
        return f"Page: {self.page_path()}\n{self.counts()}."
