"""Divide the machine's cores among the tasks that run side by side."""

from luigi.interface import core

from data.cpu_count import usable_cores


def cpu_share(task_count: int = 0, position: int = 0) -> int:
    """Return how many threads or processes a task may use, so that all workers together fill the machine once.

    Args:
        task_count: tasks of this kind; where there are fewer than workers, each gets more. 0: not known.
        position: of the task among them; the first ones get the cores that can't be divided evenly.
    """
    workers = max(1, core().workers)
    at_once = min(workers, task_count or workers)
    each, rest = divmod(usable_cores(), at_once)
    return max(1, each + (task_count > 0 and position % at_once < rest))
