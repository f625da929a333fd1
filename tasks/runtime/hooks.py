"""Take part in Luigi's run: print each error once and readably, and the result at the end.

An error that the user can fix is one line; any other has its traceback. Luigi's own logs are off (luigi.cfg), so what
it would have logged about failures is printed here, from its events. Luigi has no hook before its first and after its
last step, so `install` replaces the function that its program calls with `run`. What runs, and with what exit code,
stays Luigi's decision.
"""

import multiprocessing
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.event import Event
from luigi.execution_summary import LuigiRunResult, LuigiStatusCode

from data.errors import UserError
from data.held_folders import holding
from tasks.runtime import arguments, interrupts, processes, store_errors
from tasks.runtime.cluster.errors import ClusterError
from tasks.runtime.cluster.factory import ClusterFactory
from tasks.runtime.cluster.worker import ClusterWorker
from tasks.runtime.cluster_config import choose_scheduler, is_cluster
from tasks.runtime.defaults import apply_defaults
from tasks.runtime.extras import check_extras
from tasks.runtime.progress import close_all
from tasks.runtime.progress_board import Board, remove_stale_runs, run_board
from tasks.runtime.store import store
from tasks.runtime.store_task import StoreTask
from tasks.runtime.streams import prepare_streams

_SUCCESSES = (LuigiStatusCode.SUCCESS, LuigiStatusCode.SUCCESS_WITH_RETRY)
NOT_RUN_EXIT_CODE = 25
_luigi_run: Callable[..., LuigiRunResult] = luigi.interface._run


def install() -> None:
    """Take part in this run if the program is `luigi` or `python -m luigi`; do nothing in any other program."""
    if "luigi.cmdline" in sys.modules and luigi.interface._run is _luigi_run:
        prepare_streams()
        apply_defaults()
        luigi.interface._run = run  # type: ignore[assignment]  # it is only ever called with argv
        arguments.shorten_parser_errors()
        sys.excepthook = _print_uncaught


def run(argv: list[str]) -> LuigiRunResult:
    """Run the task that the command line names, as Luigi does, and print how it ended.

    Args:
        argv: the command line without the program's name.

    Raises:
        SystemExit: the run was interrupted (the code is 128 plus the signal's number), or the task is done but has an
            exit code of its own.
        Exception: what Luigi raised. It has been printed, and Luigi turns it into an exit code.
    """
    try:
        remove_stale_runs()
        board = run_board()
    except (OSError, UserError) as error:
        raise SystemExit(f"luigi: {error}") from error
    try:
        with interrupts.interruptible(board):
            return _run_and_conclude(argv, board)
    except Exception as error:
        _print_error("luigi", error, "Luigi")
        raise
    finally:
        close_all(board)
        shutil.rmtree(board.directory, ignore_errors=True)
        interrupts.leave_at_once()


def print_task_error(task: luigi.Task, error: BaseException) -> None:
    """Print what a task raised: while it ran, or while Luigi asked for its inputs or whether it is done."""
    # A training that was asked to stop, and says so after it has saved, has not failed.
    if not processes.is_interrupted() and not isinstance(error, SystemExit):
        _print_error(task.task_family, _lost_input(task, error) or error, str(task))


def print_lost_process(task: luigi.Task, message: str) -> None:
    """Print that a task's process was killed: it could not print that itself."""
    text = f"{task.task_family}: {message} (-9: killed, often because memory ran out). Run the command again."
    run_board().print_once(text, cause=message)


for _event in (Event.FAILURE, Event.BROKEN_TASK):
    luigi.Task.event_handler(_event)(print_task_error)
for _event in (Event.PROCESS_FAILURE, Event.TIMEOUT):
    luigi.Task.event_handler(_event)(print_lost_process)


def _lost_input(task: luigi.Task, error: BaseException) -> UserError | None:
    """Return why Luigi did not begin a task whose input has vanished since the run began; None for any other error."""
    if not str(error).startswith("Unfulfilled "):
        return None
    lost = [one for one in task.deps() if isinstance(one, StoreTask) and not one.complete()]
    return store_errors.lost_file_error(lost[0].record_path()) if lost else None


def _run_and_conclude(argv: list[str], board: Board) -> LuigiRunResult:
    """Run, then print the task's summary, or that it did not finish where nothing else has explained it."""
    processes.check_semaphores()
    with CmdlineParser.global_instance(argv) as parser:
        arguments.check(parser)
        choose_scheduler(vars(parser.known_args))
        check_extras(parser.get_task_obj())
        place = Path(store().root)
    processes.prepare_to_fork()
    try:
        with holding(place):
            result = _run_in_cluster(argv) if is_cluster() else _luigi_run(argv)
    except KeyboardInterrupt:
        _save_partial(argv, board)
        raise
    close_all(board)
    with CmdlineParser.global_instance(argv) as parser:
        root = parser.get_task_obj()
        succeeded = root.complete() if is_cluster() else result.status in _SUCCESSES
        if succeeded:
            print(root.summary() if hasattr(root, "summary") else f"{root.task_family} is done", flush=True)
            code = root.exit_code() if isinstance(root, StoreTask) else 0
            # Luigi would count what other hosts have done as not run.
            if code or is_cluster():
                raise SystemExit(code)
            return result
    with board.locked() as sheet:
        is_explained = bool(sheet.printed)
    if not is_explained:
        board.print_once(f"{root.task_family} did not finish: {result.one_line_summary}", cause="")
    if isinstance(result.worker, ClusterWorker):
        raise SystemExit(result.worker.exit_code or NOT_RUN_EXIT_CODE)
    return result


def _run_in_cluster(argv: list[str]) -> LuigiRunResult:
    """Run as one of several hosts.

    Raises:
        SystemExit: this host may not take part, or has lost luigid.
    """
    with CmdlineParser.global_instance(argv) as parser:
        factory = ClusterFactory(parser.get_task_obj())
    try:
        result = _luigi_run(argv, worker_scheduler_factory=factory)
    except ClusterError as error:
        _print_error("luigi", error, "Luigi")
        raise SystemExit(error.exit_code) from error
    if isinstance(result.worker, ClusterWorker) and (share := result.worker.count_made()):
        close_all(run_board())
        print(share, file=sys.stderr, flush=True)
    return result


def _save_partial(argv: list[str], board: Board) -> None:
    """Let the task that the command names save what was finished before an interrupt, where it can."""
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    with CmdlineParser.global_instance(argv) as parser:
        root = parser.get_task_obj()
        if hasattr(root, "save_partial"):
            try:
                message = root.save_partial()
            except UserError as error:
                message = str(error)
            if message:
                board.print_once(message, cause=message)


def _print_error(source: str, error: BaseException, source_in_full: str) -> None:
    """Print an error: one line where the user can fix it, otherwise its traceback."""
    line = arguments.explain(error)
    if line is not None:
        run_board().print_once(f"{source}: {line}", cause=line)
        return
    frames = traceback.extract_tb(error.__traceback__)
    innermost = frames[-1] if frames else None
    trace = "".join(traceback.format_exception(error)).rstrip()
    run_board().print_once(
        f"{source_in_full} failed unexpectedly:\n{trace}", cause=f"{error!r} at {innermost}"
    )


def _print_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Serve as `sys.excepthook`: Luigi looks up the task's name where nothing else could catch the error."""
    line = "Interrupted." if isinstance(error, KeyboardInterrupt) else arguments.explain(error)
    if line is None:
        sys.__excepthook__(kind, error, trace)
    else:
        print(line, file=sys.stderr)
