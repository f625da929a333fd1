"""Show progress bars that read well with one worker and with several.

A task opens a `stage`. What the tasks of all processes report is summed into one line for each stage and name. Each
process checks a few times a second, and the first one draws for all: no single process has to outlive the others. On a
terminal the bars are live; elsewhere a plain line is printed every ten seconds. Pure functions format the lines from
the states and the time.
"""

import contextlib
import dataclasses
import itertools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from data.file_names import escape_name
from data.progress import Progress
from tasks.runtime.cluster_config import is_cluster
from tasks.runtime.progress_board import Board, Screen, Sheet, State, run_board
from tasks.runtime.streams_above_bars import prints_above_bars

TICK_S = 0.25
MIN_SHOWN_S = 2.0
"""A stage shorter than this shows its closing line only."""
PLAIN_INTERVAL_S = 10.0


class NamedTask(Protocol):
    """What a stage needs to know about its task; every StoreTask has it."""

    @property
    def task_family(self) -> str:
        """The task's class, e.g. "PackShard"."""

    @property
    def task_id(self) -> str:
        """A string that differs between tasks."""

    def name(self) -> str:
        """Return what the task works on."""


@contextlib.contextmanager
def stage(task: NamedTask, unit: str, group_total: int = 0, resumes: bool = False) -> Iterator[Progress]:
    """Show a bar while the block runs, and one line with totals and duration when it ends without an error.

    Args:
        task: whose work this is.
        unit: what is counted, in the plural.
        group_total: where several tasks of this class make parts of one thing: the units of all of them together.
            They share a bar, and its closing line comes when all are done.
        resumes: the first number that is reported is an earlier run's work and does not count towards the speed.

    Yields:
        A `Progress` that only stores the numbers, so it can be called at any rate and from any thread.
    """
    board = run_board()
    name = escape_name(task.name())
    is_shared = group_total > 0 and is_cluster()
    name = f"{name}, this host" if is_shared else name
    begun = time.monotonic()
    state = State(task.task_family, name, unit, begun, group_total, pid=os.getpid(), is_shared=is_shared)
    reporter = Reporter(board, task.task_id, state, resumes)
    stop = threading.Event()
    ticker = threading.Thread(target=_tick_until, args=(reporter, stop), daemon=True)
    succeeded = False
    ticker.start()
    try:
        with prints_above_bars(board):
            yield reporter.report
        succeeded = True
    finally:
        stop.set()
        ticker.join()
        with contextlib.suppress(OSError):
            reporter.end(time.monotonic(), succeeded)


class Reporter:
    """Writes one task's numbers to the board, and draws when it is time to."""

    def __init__(self, board: Board, key: str, state: State, resumes: bool = False) -> None:
        self.board, self.key, self.state, self.resumes = board, key, state, resumes
        self.latest: tuple[int, int, str] | None = None

    def report(self, done: int, total: int, note: str = "") -> None:
        """Store the numbers; this is the task's `Progress`."""
        if self.resumes and self.latest is None:
            self.state.initial = done
        self.latest = (done, total, note)

    def tick(self, now: float) -> None:
        """Update the board, and the terminal if no process has done so recently."""
        with self.board.locked() as sheet:
            sheet.states[self.key] = self._current()
            refresh(sheet, self.board.screen, now)

    def end(self, now: float, succeeded: bool) -> None:
        """Close the task's state; a failed task leaves no line."""
        with self.board.locked() as sheet:
            sheet.states.pop(self.key, None)
            if succeeded:
                ended = dataclasses.replace(self._current(), ended=now, pid=0)
                key = "/".join(_group_key(ended))
                sheet.states[key] = merge([sheet.states[key], ended]) if key in sheet.states else ended
            refresh(sheet, self.board.screen, now, at_once=True)

    def _current(self) -> State:
        done, total, note = self.latest or (0, 0, "")
        return dataclasses.replace(self.state, done=done, total=total, note=note)


def close_all(board: Board) -> None:
    """Close the stages that are still open when the run ends, and leave no bars on the terminal."""
    with board.locked() as sheet:
        groups = [group for group in group_states(sheet.states) if group.ended is not None]
        board.screen.write(sheet, [format_closing_line(group) for group in groups], [])
        sheet.states.clear()


def refresh(sheet: Sheet, screen: Screen, now: float, at_once: bool = False) -> None:
    """Write the closing lines that are due, and the bars (on a terminal) or plain lines (elsewhere)."""
    sheet.states = {key: state for key, state in sheet.states.items() if _is_alive(state)}
    groups = group_states(sheet.states)
    lines = [format_closing_line(group) for group in groups if is_finished(group)]
    for group in filter(is_finished, groups):
        del sheet.states["/".join(_group_key(group))]
    under_way = [group for group in groups if not is_finished(group) and now - group.started >= MIN_SHOWN_S]
    if not screen.live:
        due = [
            group
            for group in under_way
            if group.pid and _is_due(sheet.last_line_at.get(_line_key(group)), now)
        ]
        screen.write(sheet, [*lines, *(format_plain_line(group, now) for group in due)], [])
        sheet.last_line_at.update({_line_key(group): now for group in due})
    elif lines or at_once or now - sheet.drawn_at >= TICK_S:
        width, encoding = screen.width(), screen.stream.encoding
        screen.write(sheet, lines, [format_bar(group, now, width, encoding) for group in under_way])
        sheet.drawn_at = now


def group_states(states: dict[str, State]) -> list[State]:
    """Return one state for each stage and name, in the order in which they began."""
    in_groups = itertools.groupby(sorted(states.values(), key=_group_key), key=_group_key)
    return sorted((merge(list(group)) for _, group in in_groups), key=lambda state: state.started)


def merge(states: list[State]) -> State:
    """Return the sum of several states of one stage and name; it has ended when all have."""
    earliest = min(states, key=lambda state: state.started)
    running = [state for state in states if state.ended is None]
    return dataclasses.replace(
        earliest,
        done=sum(state.done for state in states),
        initial=sum(state.initial for state in states),
        total=sum(state.total for state in states),
        note=states[0].note if len(states) == 1 else "",
        ended=None if running else max(state.ended for state in states if state.ended is not None),
        pid=running[0].pid if running else 0,
    )


def is_finished(group: State) -> bool:
    """Return whether all parts of a stage have ended."""
    return group.ended is not None and group.done >= group.group_total and not group.is_shared


def format_bar(group: State, now: float, width: int, encoding: str) -> str:
    """Return the line of a live bar, drawn by tqdm, shorter than `width` so that no terminal wraps it."""
    elapsed_s = now - group.started
    made = group.done - group.initial
    line: str = tqdm.format_meter(
        n=group.done,
        total=_total(group) or None,
        elapsed=elapsed_s,
        ncols=width - 1,
        prefix=f"{group.label} {group.name}",
        ascii=not encoding.lower().startswith("utf"),
        unit=f" {group.unit}",
        unit_scale=group.unit == "bytes",
        rate=made / elapsed_s if made and elapsed_s > 0 else None,
        postfix=group.note or None,
    )
    return line[: width - 1]


def format_plain_line(group: State, now: float) -> str:
    """Return the line that says the same where there is no terminal."""
    return f"{group.label} {group.name}: {_format_numbers(group, now)}"


def format_closing_line(group: State) -> str:
    """Return the line that remains of an ended stage, e.g. "PackShard Sample: 960 crops in 14.2 s (67.6 crops/s)"."""
    duration_s = max((group.ended or group.started) - group.started, 1e-3)
    made = group.done - group.initial
    counted = f"{_format_amount(group.done, group.unit)} {group.unit}" if group.done else "done"
    rate = f" ({_format_rate(made / duration_s, group.unit)})" if made and duration_s >= 0.1 else ""
    note = f", {group.note}" if group.note else ""
    return f"{group.label} {group.name}: {counted} in {_format_duration(duration_s)}{rate}{note}"


def _format_numbers(group: State, now: float) -> str:
    total = _total(group)
    elapsed_s = now - group.started
    rate = (group.done - group.initial) / elapsed_s if elapsed_s > 0 else 0.0
    done = _format_amount(group.done, group.unit)
    parts = [f"{done}/{_format_amount(total, group.unit)} {group.unit}" if total else f"{done} {group.unit}"]
    if rate > 0:
        parts.append(_format_rate(rate, group.unit))
    if rate > 0 and total:
        parts.append(f"{_format_clock((total - group.done) / rate)} left")
    else:
        parts.append(_format_clock(elapsed_s))
    if group.note:
        parts.append(group.note)
    return ", ".join(parts)


def _total(group: State) -> int:
    """Return how many units there will be; 0 if that is not known, as where other hosts do some of them."""
    return 0 if group.is_shared else group.group_total or group.total


def _format_amount(number: int, unit: str) -> str:
    """Return a count in full, and bytes as 3.53G, since long numbers are hard to read."""
    return str(tqdm.format_sizeof(number)) if unit == "bytes" else str(number)


def _format_rate(per_second: float, unit: str) -> str:
    if unit == "bytes":
        return f"{tqdm.format_sizeof(per_second)} bytes/s"
    if per_second < 1:
        return f"{1 / per_second:.3g} s each"
    return f"{per_second:.3g} {unit}/s" if per_second < 1000 else f"{per_second:.0f} {unit}/s"


def _format_clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def _format_duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else _format_clock(seconds)


def _group_key(state: State) -> tuple[str, str, str]:
    return state.label, state.name, state.unit


def _line_key(group: State) -> str:
    return f"{'/'.join(_group_key(group))}/{group.started}"


def _is_alive(state: State) -> bool:
    return state.ended is not None or Path(f"/proc/{state.pid}").exists()


def _is_due(last_line_at: float | None, now: float) -> bool:
    return last_line_at is None or now - last_line_at >= PLAIN_INTERVAL_S


def _tick_until(reporter: Reporter, stop: threading.Event) -> None:
    while not stop.wait(TICK_S):
        # A closed terminal costs a bar, never the work.
        with contextlib.suppress(OSError):
            reporter.tick(time.monotonic())
