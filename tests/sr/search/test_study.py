"""A study goes on whatever is killed, and no two processes try the same."""

import subprocess
import sys
from pathlib import Path

import no_locks
import pytest
import search_worker
from optuna.trial import TrialState

from data.errors import UserError
from sr.search.journal import open_journal
from sr.search.space import SearchSpace
from sr.search.study import CURVE, JOURNAL, REPEATS, SPEED, Study

TRIALS = 8


def start(directory: Path, *numbers: int) -> subprocess.Popen[str]:
    words = [sys.executable, search_worker.__file__, str(directory), *map(str, numbers)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def kill_at(directory: Path, number: int) -> list[str]:
    """Start a worker and kill it at its candidate of this number; return the names that it printed."""
    worker = start(directory, TRIALS, number)
    names = [worker.stdout.readline().strip() for _ in range(number)]
    worker.kill()
    worker.communicate()
    return names


def test_a_killed_trial_fails_and_is_repeated_and_the_same_study_goes_on(tmp_path):
    undisturbed = search_worker.work(tmp_path / "whole", TRIALS)
    first = kill_at(tmp_path / "pieces", 3)
    second = kill_at(tmp_path / "pieces", 2)
    third = search_worker.work(tmp_path / "pieces", TRIALS)
    assert first[-1] == second[0] and second[-1] == third[0], "what was killed comes first"
    assert first[:-1] + second[:-1] + third == undisturbed
    assert len(set(undisturbed)) == TRIALS
    study = search_worker.open_study(tmp_path / "pieces")
    failed = [trial for trial in study.trials() if trial.state == TrialState.FAIL]
    repeats = [trial.user_attrs[REPEATS] for trial in study.trials() if REPEATS in trial.user_attrs]
    assert [trial.number for trial in failed] == repeats and len(repeats) == 2 == study.lost()
    assert study.next(TRIALS) is None and not study.is_running()
    values = [
        {name: trial.values for name, trial in search_worker.open_study(tmp_path / run).tried().items()}
        for run in ("whole", "pieces")
    ]
    assert values[0] == values[1]


def test_processes_share_a_study_and_the_last_takes_what_a_killed_one_leaves(tmp_path):
    hanging = start(tmp_path, TRIALS, 1)
    lost = hanging.stdout.readline().strip()
    working = start(tmp_path, TRIALS)
    names = [working.stdout.readline().strip() for _ in range(TRIALS - 1)]
    assert lost not in names and len(set(names)) == TRIALS - 1
    hanging.kill()
    hanging.communicate()
    assert working.communicate()[0].split() == [lost] and working.returncode == 0
    assert len(search_worker.open_study(tmp_path).tried()) == TRIALS


def test_a_search_ends_when_every_candidate_is_tried(tmp_path):
    names = search_worker.work(tmp_path, 1000)
    assert sorted(names) == sorted(one.name for one in search_worker.SPACE.candidates())
    assert names[0] == "realtime-x2", "the reference is tried first"


def test_more_trials_continue_a_search(tmp_path):
    names = search_worker.work(tmp_path, 3) + search_worker.work(tmp_path, 6)
    assert names == search_worker.work(tmp_path / "at once", 6)


def test_a_line_that_a_full_disk_cut_off_does_not_end_the_study(tmp_path):
    search_worker.work(tmp_path, 2)
    journal = tmp_path / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole.splitlines()[-1][:20])
    assert len(search_worker.work(tmp_path, 3)) == 1
    assert len(search_worker.open_study(tmp_path).tried()) == 3


@pytest.mark.skipif(no_locks.FLOCK is None, reason="the kernel's number of the call is not known here")
def test_a_mount_without_locks_is_refused(tmp_path):
    code = "import sys, pathlib; from sr.search.journal import open_journal; open_journal(pathlib.Path(sys.argv[1]))"
    words = [sys.executable, no_locks.__file__, "ENOLCK", sys.executable, "-c", code, str(tmp_path / JOURNAL)]
    refused = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "has no file locks" in refused.stderr


def test_a_candidate_is_beaten_by_one_that_is_as_fast_and_better_at_the_same_step(tmp_path):
    study = search_worker.open_study(tmp_path)

    def begin(ms: float, curve: list[list[float]]):
        turn = study.next(TRIALS)
        turn.note(SPEED, {"ms": ms})
        turn.note(CURVE, curve)
        return turn

    begin(10.0, [[100, 30.0], [200, 31.0]])
    faster = begin(9.0, [[100, 29.0]])
    as_fast, slower = begin(10.0, [[100, 29.8]]), begin(11.0, [[100, 29.8], [200, 30.95]])
    elsewhere = begin(12.0, [[150, 20.0]])
    assert not study.is_beaten(faster, 0.1)
    assert study.is_beaten(as_fast, 0.1) and not study.is_beaten(as_fast, 0.3)
    assert not study.is_beaten(slower, 0.1) and study.is_beaten(slower, 0.01)
    assert not study.is_beaten(elsewhere, 0.1)


def test_a_study_shares_facts_that_the_first_decides(tmp_path):
    one, other = search_worker.open_study(tmp_path), search_worker.open_study(tmp_path)
    assert one.shared("ms") is None
    assert (one.share("ms", 3.0), other.share("ms", 4.0), other.shared("ms")) == (3.0, 3.0, 3.0)


def test_if_nothing_can_be_trained_the_search_ends_with_the_reason(tmp_path):
    from sr.search.loop import MAX_FAILURES, work_through

    study, tried = Study(tmp_path, search_worker.SPACE, 0), []

    def attempt(turn, report):
        tried.append(turn.candidate.name)
        study.fail(turn, "no disk")
        raise UserError("no disk")

    with pytest.raises(UserError, match="no disk"):
        work_through(study, TRIALS, attempt)
    assert len(set(tried)) == MAX_FAILURES == study.failures()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": (1,)}, "layers must be 2 to 32, not 1"),
        ({"channels": (8, 8)}, "each value once"),
        ({"unshuffle": (3,)}, "unshuffle must be 2 or 4, not 3"),
        ({"planes": ()}, "at least one"),
    ],
)
def test_a_space_with_networks_that_do_not_exist_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        SearchSpace(**vars(search_worker.SPACE) | change).check()


def test_a_journal_can_be_opened_twice(tmp_path):
    open_journal(tmp_path / JOURNAL)
    open_journal(tmp_path / JOURNAL)
