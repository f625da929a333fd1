"""Print the DAG below a task: what is done, what is not, where each result is, and its counts.

    python -m tasks.runtime.status FullPipeline [the parameters that `luigi --module tasks FullPipeline` takes]

It reads records and runs nothing.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.task import flatten
from luigi.task_register import TaskClassException

from data.errors import UserError
from tasks.runtime import arguments
from tasks.runtime.store_task import StoreTask

_GREEN, _YELLOW, _GRAY, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[90m", "\x1b[0m"


@dataclass(frozen=True)
class Line:
    """One line of the tree.

    Args:
        branch: the drawing before the task's name.
        title: the task and what it works on.
        status: "done", "to do", how many of how many parts, or "see above".
        place: where the result is or will be.
        counts: of a finished task.
    """

    branch: str
    title: str
    status: str
    place: str = ""
    counts: str = ""


def lines(root: luigi.Task) -> list[Line]:
    """Return the tree below `root`, each task once: where it is met again it is only mentioned.

    Tasks that make parts of one directory (a dataset's shards) share a line.
    """
    return list(_walk([root], "", "", set()))


def render(tree: list[Line], color: bool) -> Iterator[str]:
    """Yield the lines of the tree as text, in columns, and the count of what is done."""
    names = max(len(line.branch + line.title) for line in tree)
    statuses = max(len(line.status) for line in tree)
    for line in tree:
        tint = {"done": _GREEN, "see above": _GRAY}.get(line.status, _YELLOW) if color else ""
        name = (line.branch + line.title).ljust(names)
        status = tint + line.status.ljust(statuses) + (_PLAIN if color else "")
        yield f"{name}  {status}  {line.place}  {line.counts}".rstrip()
    met = [line for line in tree if line.status != "see above"]
    yield f"{sum(line.status == 'done' for line in met)} of {len(met)} done"


def main(argv: list[str]) -> int:
    """Print the tree of the task that `argv` names; return the exit code."""
    given_module = any(word.split("=")[0] == "--module" for word in argv)
    try:
        arguments.shorten_parser_errors()
        with CmdlineParser.global_instance(argv if given_module else ["--module", "tasks", *argv]) as parser:
            arguments.check(parser)
            tree = lines(parser.get_task_obj())
    except (UserError, TaskClassException) as error:
        print(f"tasks.runtime.status: {arguments.explain(error)}", file=sys.stderr)
        return arguments.USAGE_EXIT_CODE
    for text in render(tree, color=sys.stdout.isatty() and "NO_COLOR" not in os.environ):
        print(text)
    return 0


def _walk(tasks: list[luigi.Task], first: str, rest: str, met: set[str]) -> Iterator[Line]:
    """Yield the lines of tasks that share one line, and of what they need.

    Args:
        tasks: one task, or all the parts of one directory.
        first: drawn before their own line.
        rest: drawn before the lines below it.
        met: ids of the tasks that have a line; added to.
    """
    line = _line(tasks, first, known=tasks[0].task_id in met)
    yield line
    if line.status == "see above":
        return
    met.update(task.task_id for task in tasks)
    needed = _gathered([*flatten(tasks[0].requires()), *getattr(tasks[0], "dynamic_requires", list)()])
    for number, group in enumerate(needed, 1):
        is_last = number == len(needed)
        yield from _walk(
            group, rest + ("└── " if is_last else "├── "), rest + ("    " if is_last else "│   "), met
        )


def _line(tasks: list[luigi.Task], branch: str, known: bool) -> Line:
    task = tasks[0]
    title = f"{task.task_family} {task.name()}" if isinstance(task, StoreTask) else task.task_family
    if len(tasks) > 1:
        title += f" × {len(tasks)}"
    if known:
        return Line(branch, title, "see above")
    states = Counter(_is_done(task) for task in tasks)
    if states[False] and states[True]:
        status = f"{states[True]} of {len(tasks)}"
    else:
        status = "done" if states[True] else "to do"
    if not isinstance(task, StoreTask):
        return Line(branch, title, status)
    place = str(task.directory() if len(tasks) > 1 else task.output().path)
    return Line(branch, title, status, place, task.counts() if status == "done" and len(tasks) == 1 else "")


def _is_done(task: luigi.Task) -> bool:
    """Return whether the result is there; a StoreTask's `complete` would tell of errors as in a run."""
    return task.is_done() if isinstance(task, StoreTask) else task.complete()


def _gathered(tasks: list[luigi.Task]) -> list[list[luigi.Task]]:
    """Put the tasks that make parts of one directory together, in the order of their first."""
    groups: dict[str, list[luigi.Task]] = {}
    for task in tasks:
        is_part = isinstance(task, StoreTask) and task.home() is not task
        groups.setdefault(
            f"{task.task_family} {task.home().task_id}" if is_part else task.task_id, []
        ).append(task)
    return list(groups.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
