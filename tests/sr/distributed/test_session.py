"""What a rank checks on its host before it joins."""

import dataclasses
import json

import pytest

from data.atomic_files import read_json, write_json
from data.errors import UserError
from sr.distributed import session
from sr.distributed.rank_errors import read_first_error, write_error
from sr.distributed.session import (
    ABSENT_WITHIN_S,
    SEEN_WITHIN_S,
    SESSION_VARIABLE,
    join_session,
    open_session,
)
from sr.distributed.team import HostRanks, Team

TEAM = Team(4, "ssh", (HostRanks("a", 2), HostRanks("b", 2)))


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    (tmp_path / "runs/x/run").mkdir(parents=True)
    (tmp_path / "selection.json").write_text("{}")
    return tmp_path / "runs/x"


@pytest.fixture
def opened(run_dir):
    return open_session(run_dir, TEAM, (run_dir / "../../selection.json",))


def join(run_dir, opened, waits=None):
    waits = [] if waits is None else waits
    return join_session(run_dir, {SESSION_VARIABLE: opened.id}, waits.append)


def test_a_rank_reads_what_the_starter_wrote(run_dir, opened):
    joined = join(run_dir, opened)
    assert joined == opened and joined.over_hosts and joined.environment["OMP_NUM_THREADS"] == "3"
    assert list(joined.files) == ["../../selection.json"]


@pytest.mark.parametrize(
    ("there", "within_s"),
    [("", ABSENT_WITHIN_S), ("bare/runs", ABSENT_WITHIN_S), ("bare/runs/other", SEEN_WITHIN_S)],
)
def test_a_host_without_the_store_says_so_soon(tmp_path, opened, there, within_s):
    waits = []
    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    with pytest.raises(UserError, match=r"session\.json is not here: the store is not mounted"):
        join(tmp_path / "bare/runs/absent", opened, waits)
    assert sum(waits) == within_s < 20


def test_another_store_is_refused(run_dir, opened):
    other = dataclasses.replace(opened, id="0123")
    with pytest.raises(UserError, match="is in another store than on the host that starts"):
        join(run_dir, other)


def test_a_file_that_appears_late_is_waited_for(run_dir, opened):
    fields = read_json(run_dir / "run/session.json")
    (run_dir / "run/session.json").unlink()
    joined = join_session(
        run_dir, {SESSION_VARIABLE: opened.id}, lambda _: write_json(run_dir / "run/session.json", fields)
    )
    assert joined == opened


def test_other_code_is_refused_even_if_the_record_cannot_be_read_by_it(run_dir, opened):
    write_json(
        run_dir / "run/session.json",
        {"id": opened.id, "over_hosts": True, "code": "another", "starter": "a", "unknown": 1},
    )
    with pytest.raises(UserError, match=r"program's files in .* differ from those of host a"):
        join(run_dir, opened)


def test_other_libraries_are_named(run_dir, opened, monkeypatch):
    versions = session._library_versions() | {"torch": "1.0"}
    monkeypatch.setattr(session, "_library_versions", lambda: versions)
    with pytest.raises(UserError, match=r"torch 1\.0 here and .* there"):
        join(run_dir, opened)


def test_another_selection_and_a_missing_one_are_refused(run_dir, opened):
    (run_dir / "../../selection.json").write_text('{"other": 1}')
    with pytest.raises(UserError, match=r"selection\.json has another content than on host"):
        join(run_dir, opened)
    (run_dir / "../../selection.json").unlink()
    with pytest.raises(UserError, match=r"selection\.json can't be read: No such file"):
        join(run_dir, opened)


def test_an_error_reaches_the_starter_from_a_host_without_the_store(tmp_path, capsys):
    write_error(tmp_path / "absent", 1, UserError("On host b: there is no store", "Mount it"))
    assert not (tmp_path / "absent").exists()
    printed = f"b: something\nb: {capsys.readouterr().err}"
    assert str(read_first_error(tmp_path, printed)) == "On host b: there is no store. Mount it."
    assert json.loads(printed.partition("rank-error: ")[2])["hint"] == "Mount it"
