import dataclasses
import errno
import io
import multiprocessing
import os
import re
import shutil
import sys
import threading
from pathlib import Path

import pytest

from tasks.runtime import progress, progress_board
from tasks.runtime.progress import (
    Reporter,
    close_all,
    format_bar,
    format_closing_line,
    format_plain_line,
    group_states,
    is_finished,
    merge,
    refresh,
    stage,
)
from tasks.runtime.progress_board import Board, Screen, Sheet, State, remove_stale_runs, run_directory

CROPS = State("PackShard", "Sample", "crops", started=100.0, done=412, total=960, pid=1)


def shown(board: Board) -> list[str]:
    """Return the lines on a terminal that knows the two cursor movements that bars need."""
    lines: list[str] = []
    text = Path(board.screen.stream.name).read_bytes().decode()
    for height, written in re.findall(r"(?:\x1b\[(\d+)A\r\x1b\[J)|([^\x1b]+)", text):
        if height:
            del lines[-int(height) :]
        lines += written.splitlines()
    return lines


class Toy:
    task_family, task_id = "Toy", "Toy_1"

    def name(self):
        return "Sample"


@pytest.fixture
def terminal(tmp_path):
    with open(tmp_path / "terminal", "a", encoding="utf-8") as stream:
        yield Board(tmp_path / "run", Screen(stream, live=True))


@pytest.fixture
def pipe(tmp_path):
    return Board(tmp_path / "run", Screen(io.StringIO(), live=False))


def reporter(board: Board, key: str, **changes) -> Reporter:
    state = dataclasses.replace(CROPS, done=0, total=0, pid=os.getpid())
    return Reporter(board, key, dataclasses.replace(state, **changes))


def test_a_plain_line_shows_count_rate_and_time_left():
    assert format_plain_line(CROPS, now=104.12) == "PackShard Sample: 412/960 crops, 100 crops/s, 00:05 left"


def test_work_done_before_a_resume_does_not_count_towards_the_rate():
    resumed = dataclasses.replace(CROPS, initial=312)
    assert format_plain_line(resumed, now=101.0) == "PackShard Sample: 412/960 crops, 100 crops/s, 00:05 left"
    ended = dataclasses.replace(resumed, done=512, ended=102.0)
    assert format_closing_line(ended) == "PackShard Sample: 512 crops in 2.0 s (100 crops/s)"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"total": 0}, "PackShard Sample: 412 crops, 100 crops/s, 00:04"),
        ({"done": 0}, "PackShard Sample: 0/960 crops, 00:04"),
        (
            {"done": 2, "note": "loss 0.02"},
            "PackShard Sample: 2/960 crops, 2.06 s each, 32:53 left, loss 0.02",
        ),
        ({"group_total": 41200}, "PackShard Sample: 412/41200 crops, 100 crops/s, 06:48 left"),
    ],
)
def test_a_plain_line_shows_only_what_is_known(changes, line):
    assert format_plain_line(dataclasses.replace(CROPS, **changes), now=104.12) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"done": 960, "ended": 114.2}, "PackShard Sample: 960 crops in 14.2 s (67.6 crops/s)"),
        (
            {"done": 20, "ended": 4000.0, "note": "loss 1"},
            "PackShard Sample: 20 crops in 1:05:00 (195 s each), loss 1",
        ),
        ({"done": 0, "ended": 100.3}, "PackShard Sample: done in 0.3 s"),
        ({"done": 5, "ended": 100.01}, "PackShard Sample: 5 crops in 0.0 s"),
    ],
)
def test_a_closing_line_shows_totals_and_duration(changes, line):
    assert format_closing_line(dataclasses.replace(CROPS, **changes)) == line


def test_bytes_are_abbreviated():
    state = State("Download", "DIV2K", "bytes", started=100.0, done=1_765_000_000, total=3_530_603_713, pid=1)
    assert (
        format_plain_line(state, now=200.0) == "Download DIV2K: 1.76G/3.53G bytes, 17.6M bytes/s, 01:40 left"
    )
    assert format_bar(state, 200.0, 100, "utf-8").endswith("| 1.76G/3.53G [01:40<01:40, 17.6M bytes/s]")
    ended = dataclasses.replace(state, done=3_530_603_713, initial=1_000_000_000, ended=300.0)
    assert format_closing_line(ended) == "Download DIV2K: 3.53G bytes in 03:20 (12.7M bytes/s)"


def test_a_bar_is_filled_in_proportion_and_never_wraps():
    line = format_bar(CROPS, now=104.12, width=100, encoding="UTF-8")
    assert line.startswith("PackShard Sample:  43%|███")
    assert line.endswith("| 412/960 [00:04<00:05, 100.00 crops/s]")
    assert "|####" in format_bar(CROPS, now=104.12, width=100, encoding="ascii")
    assert all(len(format_bar(CROPS, 104.12, width, "utf-8")) < width for width in range(2, 100))


def test_shards_of_one_dataset_share_a_line_that_ends_when_all_have_ended():
    first = dataclasses.replace(CROPS, group_total=1000, done=600, total=600, ended=110.0, pid=0)
    second = dataclasses.replace(CROPS, group_total=1000, done=100, total=400, started=101.0)
    (group,) = group_states({"a": first, "b": second})
    assert (group.done, group.total, group.started, group.ended) == (700, 1000, 100.0, None)
    assert not is_finished(group)
    assert not is_finished(merge([first]))
    assert is_finished(merge([first, dataclasses.replace(second, done=400, ended=120.0)]))


def test_two_stages_have_two_lines_in_the_order_in_which_they_began():
    earlier = dataclasses.replace(CROPS, label="ZLast", started=99.0)
    assert [group.label for group in group_states({"a": CROPS, "b": earlier})] == ["ZLast", "PackShard"]


def test_a_temporary_directory_without_locks_costs_the_bars_alone(terminal, monkeypatch):
    def refuse(handle, how):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(progress_board.fcntl, "flock", refuse)
    one, two = reporter(terminal, "1", group_total=100), reporter(terminal, "2", group_total=100)
    for each in (one, two):
        each.report(50, 50)
        each.tick(104.0)
        terminal.print_once("a message", cause="both see it")
        each.end(110.0, succeeded=True)
    plain = "PackShard Sample: 50/100 crops, 12.5 crops/s, 00:04 left"
    assert shown(terminal) == [plain, "a message", "PackShard Sample: 100 crops in 10.0 s (10 crops/s)"]
    assert [path.name for path in terminal.directory.glob("*.part")] == []


def test_a_damaged_sheet_costs_the_bars_alone(terminal):
    for damage in (b"", b'{"states": {"a": 3}}', b"[]"):
        terminal.directory.mkdir(exist_ok=True)
        (terminal.directory / "sheet.json").write_bytes(damage)
        terminal.print_once(f"a message about {damage!r}", cause=f"{damage!r}")
    assert len(shown(terminal)) == 3


def test_stray_names_beside_the_runs_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_board.tempfile, "gettempdir", lambda: str(tmp_path))
    remove_stale_runs()
    (runs,) = tmp_path.iterdir()
    for name in ("notes", "notes-1", ".nfs0001", "-", "4194305-1"):
        (runs / name).mkdir()
    (runs / "12-backup.txt").write_text("")
    remove_stale_runs()
    assert sorted(path.name for path in runs.iterdir()) == sorted(
        ["notes", "notes-1", ".nfs0001", "-", "12-backup.txt"]
    )


def test_bars_are_drawn_over_each_other_and_leave_the_closing_line(terminal):
    one, two = reporter(terminal, "1", group_total=200), reporter(terminal, "2", group_total=200)
    one.report(50, 100)
    one.tick(101.0)
    assert shown(terminal) == []  # quick stages have no bar
    one.tick(102.0)
    two.report(50, 100)
    two.tick(104.0)
    (bar,) = shown(terminal)
    assert "| 100/200 [00:04<00:04, 25.00 crops/s]" in bar
    one.report(100, 100)
    one.end(105.0, succeeded=True)
    assert len(shown(terminal)) == 1
    two.report(100, 100)
    two.end(110.0, succeeded=True)
    assert shown(terminal) == ["PackShard Sample: 200 crops in 10.0 s (20 crops/s)"]


def test_only_a_stage_that_resumes_takes_its_first_report_for_earlier_work(pipe):
    for resumes, rate in [(True, "25 crops/s"), (False, "50 crops/s")]:
        at_work = Reporter(pipe, "1", dataclasses.replace(CROPS, pid=os.getpid()), resumes)
        at_work.report(50, 100)
        at_work.report(100, 100)
        at_work.end(102.0, succeeded=True)
        assert rate in pipe.screen.stream.getvalue().splitlines()[-1]


def test_only_one_process_draws_at_a_time(terminal):
    one, two = reporter(terminal, "1"), reporter(terminal, "2", name="Other")
    one.tick(103.0)
    before = shown(terminal)
    two.tick(103.1)
    assert shown(terminal) == before
    two.tick(103.1 + progress.TICK_S)
    assert len(shown(terminal)) == 2


def test_messages_appear_above_the_bars(terminal):
    at_work = reporter(terminal, "1")
    at_work.tick(103.0)
    terminal.print_once("mind this", cause="this")
    terminal.print_once("mind this again", cause="this")
    terminal.pass_through("a log line\n", terminal.screen.stream)
    at_work.tick(104.0)
    message, logged, bar = shown(terminal)
    assert (message, logged, bar[:9]) == ("mind this", "a log line", "PackShard")


def test_without_a_terminal_a_line_comes_every_ten_seconds(pipe):
    at_work = reporter(pipe, "1")
    for second in range(100, 125):
        at_work.report(second - 100, 50)
        at_work.tick(float(second))
    at_work.end(125.0, succeeded=True)
    assert pipe.screen.stream.getvalue().splitlines() == [
        "PackShard Sample: 2/50 crops, 1 crops/s, 00:48 left",
        "PackShard Sample: 12/50 crops, 1 crops/s, 00:38 left",
        "PackShard Sample: 22/50 crops, 1 crops/s, 00:28 left",
        "PackShard Sample: 24 crops in 25.0 s (1.04 s each)",
    ]


def test_a_task_that_fails_leaves_no_line_and_no_bar(terminal):
    at_work = reporter(terminal, "1")
    at_work.tick(103.0)
    at_work.end(104.0, succeeded=False)
    assert shown(terminal) == []


def test_the_state_of_a_dead_process_is_dropped():
    child = multiprocessing.get_context("fork").Process()
    child.start()
    child.join()
    sheet = Sheet(states={"dead": dataclasses.replace(CROPS, pid=child.pid)})
    refresh(sheet, Screen(io.StringIO(), live=False), now=103.0)
    assert sheet.states == {}


def test_close_all_closes_a_group_that_was_not_completed_in_this_run(pipe):
    reporter(pipe, "1", group_total=1000).end(102.0, succeeded=True)
    assert pipe.screen.stream.getvalue() == ""
    close_all(pipe)
    assert pipe.screen.stream.getvalue() == "PackShard Sample: done in 2.0 s\n"


def test_another_process_draws_on_when_one_ends(terminal):
    one = reporter(terminal, "1")
    context = multiprocessing.get_context("fork")
    has_drawn, end = context.Event(), context.Event()

    def other() -> None:
        two = reporter(terminal, "2", name="Other")
        two.tick(103.0)
        has_drawn.set()
        end.wait(30)
        two.tick(104.0)
        two.end(105.0, succeeded=True)

    child = context.Process(target=other)
    one.tick(102.0)
    child.start()
    assert has_drawn.wait(30)
    assert [line.split()[1] for line in shown(terminal)] == ["Other:", "Sample:"]
    one.end(103.5, succeeded=True)
    closing, bar = shown(terminal)
    end.set()
    child.join()
    assert closing == "PackShard Sample: done in 3.5 s"
    assert bar.startswith("PackShard Other: 0 crops")
    assert shown(terminal) == [closing, "PackShard Other: done in 5.0 s"]


def test_a_stage_reports_from_any_thread_and_closes(capfd):
    with stage(Toy(), "things") as report:
        threads = [threading.Thread(target=report, args=(done, 8)) for done in (7, 8)]
        for thread in threads:
            thread.start()
            thread.join()
    assert re.fullmatch(r"Toy Sample: 8 things in 0\.\d s.*\n", capfd.readouterr().err)


def test_a_stage_that_raises_says_nothing(capfd):
    with pytest.raises(ValueError, match="bad"), stage(Toy(), "things") as report:
        report(1, 8)
        raise ValueError("bad")
    assert capfd.readouterr().err == ""


def test_on_a_terminal_prints_go_above_the_bars_by_whole_lines(terminal, monkeypatch):
    monkeypatch.setattr(progress, "run_board", lambda: terminal)
    errors, out = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(sys, "stdout", out)
    with stage(Toy(), "things"):
        sys.stderr.write("half ")
        assert errors.getvalue() == ""
        sys.stderr.write("and half\nrest")
        assert errors.getvalue() == "half and half\n"
        print("to a file", flush=True)
        assert out.getvalue() == "to a file\n"
    assert errors.getvalue() == "half and half\nrest\n"
    assert sys.stderr is errors


def test_a_print_while_the_sheet_is_held_does_not_wait_for_it(terminal):
    out = io.StringIO()
    with terminal.locked():
        terminal.pass_through("from a destructor\n", out)
    assert out.getvalue() == "from a destructor\n"


def test_a_run_has_one_directory_and_killed_ones_are_swept(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mine = run_directory()
    mine.mkdir(parents=True)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=lambda: queue.put(run_directory()))
    child.start()
    assert queue.get(timeout=30) == mine
    child.join()
    stale = mine.with_name(f"{os.getpid()}-1")
    stale.mkdir()
    remove_stale_runs()
    assert list(mine.parent.iterdir()) == [mine]


def lose(board):
    shutil.rmtree(board.directory)
    board.directory.write_text("no directory")


def fill(board):
    (board.directory / "sheet.part").mkdir()


@pytest.mark.parametrize("harm", [lose, fill])
def test_a_sheet_that_cannot_be_saved_costs_nothing_but_bars(harm, terminal):
    one = reporter(terminal, "1")
    one.report(5, 10)
    one.tick(200.0)
    terminal.print_once("before", cause="before")
    harm(terminal)
    one.report(10, 10)
    one.tick(200.3)
    for _ in range(2):
        terminal.print_once("after", cause="after")
    one.end(201.0, succeeded=True)
    close_all(terminal)
    lines = shown(terminal)
    assert [line for line in lines if line in ("before", "after")] == ["before", "after"]
    assert lines[-1].startswith("PackShard Sample: 10 crops in")
