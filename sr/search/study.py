"""The study of a search: which candidate is tried next, and what became of the others.

It lives in a journal, so that any number of processes and hosts work on it, and a killed one loses only its trial:
the next process marks it as failed and repeats it. A trial that runs holds a lock, which ends with its process.
"""

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from data.hashing import generator, number
from data.mounts import lock
from sr.search.journal import open_journal, try_lock
from sr.search.space import Candidate, SearchSpace

JOURNAL = "study.jsonl"
"""The journal, in the directory of the search."""
TRIALS = "trials"
"""Directory of the trainings, one for each candidate."""
RANDOM_TRIALS = 6
"""So many candidates are chosen at random; then Optuna's sampler learns from them."""
SPEED, CURVE, PROBLEM, REPEATS, SAME_AS = "speed", "curve", "problem", "repeats", "same_as"
"""What a trial notes: `int8_speed.Speed` as a dict; [step, dB] of each validation; why it failed; the number of the
trial that it repeats; the number of an earlier trial with the same candidate, which makes this one void."""


@dataclasses.dataclass(frozen=True)
class Turn:
    """A candidate that this process tries, and the lock that says so."""

    candidate: Candidate
    number: int
    """Of the trial, in the journal."""
    directory: Path
    """For its training."""
    trial: optuna.trial.Trial
    lock: int

    def note(self, name: str, value: Any) -> None:
        """Write a fact of the trial to the journal, as JSON data."""
        self.trial.set_user_attr(name, value)


class Study:
    """A study in the directory of a search."""

    def __init__(self, directory: Path, space: SearchSpace, seed: int) -> None:
        """Open the study, or begin it.

        Args:
            directory: of the search; created if missing.
            space: what is searched; the same for all processes.
            seed: of the choice of candidates; the same for all processes.

        Raises:
            UserError: the directory's mount has no file locks.
        """
        self._directory, self._space, self._seed = directory, space, seed
        (directory / TRIALS).mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            storage=open_journal(directory / JOURNAL),
            study_name="search",
            directions=["maximize", "minimize"],  # PSNR, milliseconds
            load_if_exists=True,
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from choosing a trial while the block runs."""
        path = self._directory / TRIALS / "choice.lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            lock(handle, path)
            yield
        finally:
            os.close(handle)

    def trials(self) -> list[FrozenTrial]:
        """Return all trials, as the journal has them now."""
        return self._study.get_trials(deepcopy=False)

    def candidate_of(self, trial: FrozenTrial) -> Candidate | None:
        """Return the candidate of a trial; None if its process was killed before it had chosen one."""
        complete = trial.params.keys() >= self._space.dimensions().keys()
        return self._space.candidate(trial.params) if complete else None

    def tried(self) -> dict[str, FrozenTrial]:
        """Return the trial of each candidate that is done, given up, failed by itself or running, by its name."""
        return {
            candidate.name: trial
            for trial in self.trials()
            if (candidate := self.candidate_of(trial)) and _counts(trial)
        }

    def is_running(self) -> bool:
        """Return whether any process has a trial."""
        return any(trial.state in (TrialState.RUNNING, TrialState.WAITING) for trial in self.trials())

    def next(self, limit: int) -> Turn | None:
        """Choose the next candidate for this process.

        Args:
            limit: how many candidates are tried in all.

        Returns:
            None if there are enough; others may still be running.
        """
        with self._alone():
            self._repeat_lost()
            tried, trials = self.tried(), self.trials()
            if not trials:
                self._enqueue_reference()
            waiting = any(trial.state == TrialState.WAITING for trial in self.trials())
            if not waiting and len(tried) >= min(limit, self._space.size()):
                return None
            trial = self._ask(len(tried))
            if (again := self._name(trial)) in tried and not waiting:
                trial.set_user_attr(SAME_AS, tried[again].number)
                self._study.tell(trial, state=TrialState.FAIL)
                self._study.enqueue_trial(self._draw_untried(tried))
                trial = self._ask(len(tried))
            candidate = self._space.candidate(trial.params)
            held = try_lock(self._lock_of(candidate))
            if held is None:
                raise RuntimeError(
                    f"Another process tries {candidate.name}, which the journal does not know."
                )
            directory = self._directory / TRIALS / candidate.name
            return Turn(candidate, trial.number, directory, trial, held)

    def _ask(self, index: int) -> optuna.trial.Trial:
        """Begin a trial; its candidate follows from the seed, its index and the results so far."""
        seed = number("search", self._seed, index) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = TPESampler(
                seed=seed, n_startup_trials=RANDOM_TRIALS, multivariate=True, constant_liar=True
            )
        dimensions = self._space.dimensions().items()
        return self._study.ask({name: CategoricalDistribution(values) for name, values in dimensions})

    def _name(self, trial: optuna.trial.Trial) -> str:
        return self._space.candidate(trial.params).name

    def _enqueue_reference(self) -> None:
        """Have the reference tried first, where it is a candidate: the others are compared with it."""
        for candidate in self._space.candidates():
            if candidate.name == self._space.reference:
                self._study.enqueue_trial(self._space.values_of(candidate))

    def _draw_untried(self, tried: dict[str, FrozenTrial]) -> dict[str, Any]:
        left = [one for one in self._space.candidates() if one.name not in tried]
        chosen = left[int(generator("search", self._seed, len(tried)).integers(len(left)))]
        return self._space.values_of(chosen)

    def _lock_of(self, candidate: Candidate) -> Path:
        return self._directory / TRIALS / f"{candidate.name}.lock"

    def _repeat_lost(self) -> None:
        """Mark trials as failed whose process is gone, and put their candidates first in line."""
        waiting = [trial for trial in self.trials() if trial.state == TrialState.WAITING]
        again = [trial.system_attrs["fixed_params"] for trial in waiting]
        for trial in self.trials():
            if trial.state != TrialState.RUNNING:
                continue
            candidate = self.candidate_of(trial)
            held = try_lock(self._lock_of(candidate)) if candidate else None
            if candidate and held is None:
                continue  # its process lives
            # In this order: killed in between, the next process finds the trial still running, and does the rest.
            if candidate and trial.params not in again:
                self._study.enqueue_trial(trial.params, user_attrs={REPEATS: trial.number})
            self._study.tell(trial.number, state=TrialState.FAIL)
            if held is not None:
                os.close(held)

    def is_beaten(self, turn: Turn, margin_db: float) -> bool:
        """Return whether another candidate that is as fast was better by a margin at the last step of this one.

        Optuna's own pruners know a single objective only.
        """
        own = next(trial for trial in self.trials() if trial.number == turn.number).user_attrs
        step, db = own[CURVE][-1]
        return any(
            other.number != turn.number
            and other.user_attrs.get(SPEED, {"ms": float("inf")})["ms"] <= own[SPEED]["ms"]
            and dict(map(tuple, other.user_attrs.get(CURVE, []))).get(step, -1.0) > db + margin_db
            for other in self.trials()
        )

    def complete(self, turn: Turn, psnr_db: float, ms: float) -> None:
        """Write the result of a trial."""
        self._study.tell(turn.trial, [psnr_db, ms])

    def prune(self, turn: Turn) -> None:
        """Write that a trial was given up."""
        self._study.tell(turn.trial, state=TrialState.PRUNED)

    def fail(self, turn: Turn, problem: str) -> None:
        """Write that a candidate cannot be trained; it is not repeated."""
        turn.note(PROBLEM, problem)
        self._study.tell(turn.trial, state=TrialState.FAIL)

    def failures(self) -> int:
        """Return how many candidates cannot be trained."""
        return sum(trial.state == TrialState.FAIL for trial in self.tried().values())

    def successes(self) -> int:
        """Return how many candidates could be trained."""
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        return sum(trial.state in ended for trial in self.tried().values())

    def lost(self) -> int:
        """Return how many trials ended with their process, and were repeated."""
        void = (PROBLEM, SAME_AS)
        failed = [trial.user_attrs for trial in self.trials() if trial.state == TrialState.FAIL]
        return sum(not any(name in attributes for name in void) for attributes in failed)

    def share(self, name: str, value: Any) -> Any:
        """Return a fact of the whole study; the first process to ask decides it."""
        with self._alone():
            if name not in self._study.user_attrs:
                self._study.set_user_attr(name, value)
            return self._study.user_attrs[name]

    def shared(self, name: str) -> Any:
        """Return a fact of the whole study; None where no process has shared it."""
        return self._study.user_attrs.get(name)


def _counts(trial: FrozenTrial) -> bool:
    """Return whether a trial uses up its candidate: it is running, or has ended by itself."""
    if trial.state == TrialState.FAIL:
        return PROBLEM in trial.user_attrs
    return trial.state in (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
