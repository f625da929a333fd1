"""How a run speaks of its end: one line for what a person can mend, a traceback for what they cannot, and
last of all where the result is.

Luigi's own logs are off (luigi.cfg); what it would have logged about failures is said here, from its events.
Luigi has no hook before its first and after its last step, so `install` puts `run` in the place of the
function that its program calls. Nothing here decides what runs, or with what exit code: that stays Luigi's.
"""

import contextlib
import multiprocessing
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.event import Event
from luigi.execution_summary import LuigiRunResult, LuigiStatusCode

from data.errors import UserError
from tasks.runtime import arguments, processes, store_errors
from tasks.runtime.defaults import apply_defaults
from tasks.runtime.extras import check_extras
from tasks.runtime.progress import finish
from tasks.runtime.progress_board import Board, Screen, run_directory, sweep
from tasks.runtime.store_task import StoreTask

_SUCCESSES = (LuigiStatusCode.SUCCESS, LuigiStatusCode.SUCCESS_WITH_RETRY)
_luigi_run = luigi.interface._run


def install() -> None:
    """Take part in this run, if the program is `luigi` or `python -m luigi`; anywhere else do nothing."""
    if "luigi.cmdline" in sys.modules and luigi.interface._run is _luigi_run:
        apply_defaults()
        luigi.interface._run = run
        arguments.shorten_parser_errors()
        sys.excepthook = _print_uncaught


def run(argv: list[str]) -> LuigiRunResult:
    """Run the task that the command line names, as Luigi does, and close the run.

    Raises:
        SystemExit: it was interrupted; the code is 128 and the signal's number.
        Exception: what Luigi raised; it has been told, and Luigi makes an exit code of it.
    """
    try:
        sweep()
        board = _board()
    except (OSError, UserError) as error:
        raise SystemExit(f"luigi: {error}") from error
    try:
        with _interruptible(board):
            return _run_and_conclude(argv, board)
    except Exception as error:
        _tell("luigi", error, "Luigi")
        raise
    finally:
        finish(board)
        shutil.rmtree(board.directory, ignore_errors=True)


@luigi.Task.event_handler(Event.FAILURE)
@luigi.Task.event_handler(Event.BROKEN_TASK)
def on_error(task: luigi.Task, error: BaseException) -> None:
    """Tell what a task raised: while it ran, or while Luigi asked it for its inputs or whether it is done."""
    # One that was told to end, and said so after it had saved, is no fault.
    if not processes.is_interrupted() and not isinstance(error, SystemExit):
        _tell(task.task_family, _lost_input(task, error) or error, str(task))


@luigi.Task.event_handler(Event.PROCESS_FAILURE)
@luigi.Task.event_handler(Event.TIMEOUT)
def on_lost_process(task: luigi.Task, message: str) -> None:
    """Tell that a task's process was killed: it could not say so itself."""
    text = f"{task.task_family}: {message} (-9: killed, often for want of memory); run the command again."
    _board().say(text, cause=message)


def _lost_input(task: luigi.Task, error: BaseException) -> UserError | None:
    """Return what it means that Luigi did not begin a task: an input that was there before is no more."""
    if not str(error).startswith("Unfulfilled "):
        return None
    lost = [one for one in task.deps() if isinstance(one, StoreTask) and not one.complete()]
    return store_errors.lost(Path(lost[0].output().path)) if lost else None


def _run_and_conclude(argv: list[str], board: Board) -> LuigiRunResult:
    """Run; then print the task's summary, or make sure that its absence was explained."""
    with CmdlineParser.global_instance(argv) as parser:
        arguments.check(parser)
        check_extras(parser.get_task_obj())
    processes.prepare_to_fork()
    try:
        result = _luigi_run(argv)
    except KeyboardInterrupt:
        _salvage(argv, board)
        raise
    finish(board)
    with CmdlineParser.global_instance(argv) as parser:
        root = parser.get_task_obj()
        if result.status in _SUCCESSES and not root.complete():
            board.say(f"{root.task_family} is not done yet: other hosts are at work on it.", cause="")
            return result
        if result.status in _SUCCESSES:
            print(root.summary() if hasattr(root, "summary") else f"{root.task_family} is done", flush=True)
            return result
    with board.held() as sheet:
        explained = bool(sheet.told)
    if not explained:
        board.say(f"{root.task_family} did not finish: {result.one_line_summary}", cause="")
    return result


def _salvage(argv: list[str], board: Board) -> None:
    """Let the task that the command names make something of what was done before an interrupt."""
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    with CmdlineParser.global_instance(argv) as parser:
        root = parser.get_task_obj()
        if hasattr(root, "salvage"):
            try:
                said = root.salvage()
            except UserError as error:
                said = str(error)
            if said:
                board.say(said, cause=said)


def _tell(who: str, error: BaseException, in_full: str) -> None:
    line = arguments.explain(error)
    if line is not None:
        _board().say(f"{who}: {line}", cause=line)
        return
    *_, innermost = traceback.extract_tb(error.__traceback__) or [None]
    trace = "".join(traceback.format_exception(error)).rstrip()
    _board().say(f"{in_full} failed unexpectedly:\n{trace}", cause=f"{error!r} at {innermost}")


@contextlib.contextmanager
def _interruptible(board: Board) -> Iterator[None]:
    """End at SIGTERM as at Ctrl+C: the task processes first, then a line, then an exit code that is not 0."""
    received = [signal.SIGINT]

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        for child in multiprocessing.active_children():
            child.kill()
        board.say(
            "Interrupted. What was finished stays; the same command goes on from there.", cause="interrupted"
        )
        raise SystemExit(128 + received[-1]) from None
    finally:
        signal.signal(signal.SIGTERM, former)


def _board() -> Board:
    return Board(run_directory(), Screen.standard(sys.__stderr__))


def _print_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Be `sys.excepthook`: Luigi looks the task's name up where nothing else could catch the error."""
    line = arguments.explain(error) if isinstance(error, Exception) else None
    if line is None:
        sys.__excepthook__(kind, error, trace)
    else:
        print(line, file=sys.stderr)
