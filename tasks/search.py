"""Search an architecture: SearchArchitecture."""

from typing import Any

from sr.search.settings import Budget, SearchSettings
from tasks.runtime.progress import stage
from tasks.runtime.store_task import INCOMPLETE_EXIT_CODE
from tasks.search_config import search
from tasks.train import TrainingTask
from tasks.training_config import training_settings

FRAME = (540, 960)
"""Height and width of the LR frame that is timed where [search] size is empty."""


class SearchArchitecture(TrainingTask):
    """Selected crops → small networks, trained briefly: the best for each speed in int8, as table, page and presets.

    Killed, it goes on where it was. Run on several hosts with the same store, or several times on one, all work on the
    same search. More [search] trials continue a finished one.
    """

    extra = "search"
    stage = "searches"
    record = "search.json"

    def name(self) -> str:
        """Return the family and the scale."""
        return f"realtime-x{search().scale}"

    def parameters(self) -> dict[str, Any]:
        """Return what is searched and how candidates are trained; not how many are tried."""
        settings = {name: value for name, value in search().param_kwargs.items() if name != "trials"}
        return {**settings, "training": self._training()}

    def _training(self) -> dict[str, Any]:
        """Return [training] with the recipe of the family.

        Raises:
            UserError: a value is invalid.
        """
        return training_settings(search().space().reference)

    def is_done(self) -> bool:
        """Return whether the search is over, and has tried as many networks as are asked for now."""
        return super().is_done() and self.load_record()["settings"]["trials"] >= search().trials

    def settings(self) -> SearchSettings:
        """Return [search] as the search takes it."""
        section = search()
        budget = Budget(
            selection=self.selection.record_path().resolve(),
            selection_hash=self.selection.spec_hash,
            training=self._training(),
            steps=section.steps,
            validations=section.validations,
            prune_db=section.prune_db,
            options=self.options(),
        )
        return SearchSettings(
            space=section.space(),
            trials=section.trials,
            seed=section.seed,
            size=section.size or FRAME,
            seconds=section.seconds,
            budget=budget,
        )

    def make(self) -> None:
        """Try one network after the other, and write what came of all of them."""
        from sr.search.search import search as run_search

        with stage(self, "networks", resumes=True) as progress:
            run_search(self.settings(), self.directory().resolve(), progress)

    def counts(self) -> str:
        """Return how many networks were tried, and what became of them."""
        counts = self.load_record()["counts"]
        lost = f", {counts['lost']} repeated after a kill" if counts["lost"] else ""
        return (
            f"{counts['tried']} networks: {counts['complete']} trained, {counts['pruned']} given up, "
            f"{counts['failed']} failed{lost}"
        )

    def exit_code(self) -> int:
        """Return `INCOMPLETE_EXIT_CODE` if a network could not be trained."""
        return INCOMPLETE_EXIT_CODE if self.load_record()["counts"]["failed"] else 0

    def summary(self) -> str:
        """Return the best networks, those that failed, and where the page is."""
        record, directory = self.load_record(), self.directory()
        failed = [f"Failed: {row['name']}: {row['problem']}" for row in record["rows"] if row["problem"]]
        rows = {row["name"]: row for row in record["rows"]}
        best = [
            f"{name}: {rows[name]['psnr_db']:.3f} dB, {rows[name]['ms']:.3g} ms" for name in record["front"]
        ]
        page = f"Architecture search: {directory / 'search.html'}, presets in {directory / 'front.cfg'}"
        return "\n".join([*best, *failed, f"{self.counts()}.", page])
