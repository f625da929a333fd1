"""Print the DAG below a task: what is done, what is not, where each result is, and its counts.

    python -m tasks.runtime.status FullPipeline [the parameters that `luigi --module tasks FullPipeline` takes]

It reads records and runs nothing.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.task import flatten
from luigi.task_register import TaskClassException

from data.errors import UserError
from tasks.runtime import arguments
from tasks.runtime.store_task import StoreTask
from tasks.runtime.streams import prepare_streams

_GREEN, _YELLOW, _GRAY, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[90m", "\x1b[0m"
_SEE_ABOVE = "see above"


@dataclass(frozen=True)
class Line:
    """One line of the tree."""

    branch: str
    """The drawing before the task's name."""
    title: str
    """The task and what it works on."""
    status: str
    """ "done", "to do", "2 of 3" (parts that are done), or "see above"."""
    place: str = ""
    """Where the result is or will be."""
    counts: str = ""
    """The counts of a finished task."""


def list_lines(root: luigi.Task) -> list[Line]:
    """Return the tree below `root`, each task once: where it occurs again, its line says "see above".

    Tasks that make parts of one directory (a dataset's shards) share a line.
    """
    return list(_walk([root], "", "", set()))


def render(tree: Sequence[Line], color: bool) -> Iterator[str]:
    """Yield the lines of the tree as text in columns, then how many tasks are done."""
    title_width = max(len(line.branch + line.title) for line in tree)
    status_width = max(len(line.status) for line in tree)
    for line in tree:
        tint = {"done": _GREEN, _SEE_ABOVE: _GRAY}.get(line.status, _YELLOW) if color else ""
        title = (line.branch + line.title).ljust(title_width)
        status = tint + line.status.ljust(status_width) + (_PLAIN if color else "")
        yield f"{title}  {status}  {line.place}  {line.counts}".rstrip()
    distinct = [line for line in tree if line.status != _SEE_ABOVE]
    yield f"{sum(line.status == 'done' for line in distinct)} of {len(distinct)} done"


def main(argv: list[str]) -> int:
    """Print the tree of the task that `argv` names; return the exit code."""
    prepare_streams()
    has_module = any(word.split("=")[0] == "--module" for word in argv)
    try:
        arguments.shorten_parser_errors()
        with CmdlineParser.global_instance(argv if has_module else ["--module", "tasks", *argv]) as parser:
            arguments.check(parser)
            tree = list_lines(parser.get_task_obj())
    except (UserError, TaskClassException) as error:
        print(f"tasks.runtime.status: {arguments.explain(error)}", file=sys.stderr)
        return arguments.USAGE_EXIT_CODE
    for text in render(tree, color=sys.stdout.isatty() and "NO_COLOR" not in os.environ):
        print(text)
    return 0


def _walk(tasks: list[luigi.Task], branch: str, child_prefix: str, seen: set[str]) -> Iterator[Line]:
    """Yield the line of tasks that share one, then the lines of what they require.

    Args:
        tasks: one task, or all the parts of one directory.
        branch: drawn before their own line.
        child_prefix: drawn before the lines below it.
        seen: ids of the tasks that have a line; added to.
    """
    line = _make_line(tasks, branch, is_seen=tasks[0].task_id in seen)
    yield line
    if line.status == _SEE_ABOVE:
        return
    seen.update(task.task_id for task in tasks)
    required = flatten(tasks[0].requires())
    if isinstance(tasks[0], StoreTask):
        required = [*required, *tasks[0].dynamic_requires()]
    groups = _group_parts(required)
    for number, group in enumerate(groups, 1):
        is_last = number == len(groups)
        yield from _walk(
            group,
            child_prefix + ("└── " if is_last else "├── "),
            child_prefix + ("    " if is_last else "│   "),
            seen,
        )


def _make_line(tasks: list[luigi.Task], branch: str, is_seen: bool) -> Line:
    task = tasks[0]
    title = f"{task.task_family} {task.name()}" if isinstance(task, StoreTask) else task.task_family
    if len(tasks) > 1:
        title += f" × {len(tasks)}"
    if is_seen:
        return Line(branch, title, _SEE_ABOVE)
    states = Counter(_is_done(task) for task in tasks)
    if states[False] and states[True]:
        status = f"{states[True]} of {len(tasks)}"
    else:
        status = "done" if states[True] else "to do"
    if not isinstance(task, StoreTask):
        return Line(branch, title, status)
    place = task.directory() if len(tasks) > 1 else task.record_path()
    counts = task.counts() if status == "done" and len(tasks) == 1 else ""
    return Line(branch, title, status, str(place), counts)


def _is_done(task: luigi.Task) -> bool:
    """Return whether the result is there; a StoreTask's `complete` would report errors as in a run."""
    return task.is_done() if isinstance(task, StoreTask) else bool(task.complete())


def _group_parts(tasks: Sequence[luigi.Task]) -> list[list[luigi.Task]]:
    """Group the tasks that make parts of one directory, in the order of the first of each group."""
    groups: dict[str, list[luigi.Task]] = {}
    for task in tasks:
        key: str = task.task_id
        if isinstance(task, StoreTask) and task.home() is not task:
            key = f"{task.task_family} {task.home().task_id}"
        groups.setdefault(key, []).append(task)
    return list(groups.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
