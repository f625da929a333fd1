"""What a search needs to know: the space, the number of candidates, and how each is trained. Plain data."""

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sr.search.space import Candidate, SearchSpace
from sr.training.job import RunOptions, TrainingJob


@dataclasses.dataclass(frozen=True)
class Budget:
    """How each candidate is trained."""

    selection: Path
    """Path of selection.json."""
    selection_hash: str
    training: Mapping[str, Any]
    """Fields of a TrainingJob; those of the budget replace their own."""
    steps: int
    validations: int
    """How often a candidate is validated, the last time at its end."""
    prune_db: float
    """A candidate is given up if one that is as fast is better by more than this at the same step; 0: never."""
    options: RunOptions = dataclasses.field(default_factory=RunOptions)

    def job(self, candidate: Candidate, directory: Path) -> TrainingJob:
        """Return the training of a candidate in a directory."""
        fields = dict(self.training) | {
            "max_steps": self.steps,
            "steps_per_epoch": math.ceil(self.steps / self.validations),
            "warmup_steps": min(self.training["warmup_steps"], self.steps // 5),
            "max_hours": 0.0,
            "max_epochs": self.validations,
            "patience_epochs": self.validations,
        }
        return TrainingJob(
            preset=candidate.preset,
            selection=os.path.relpath(self.selection, directory),
            selection_hash=self.selection_hash,
            reparameterize=candidate.reparameterize,
            **fields,
        )


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """What is searched, and how."""

    space: SearchSpace
    trials: int
    """Candidates in all."""
    seed: int
    size: tuple[int, int]
    """Height and width of the LR frame that is timed."""
    seconds: float
    """How long each candidate is timed."""
    budget: Budget
