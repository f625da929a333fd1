"""Work on many items in several processes, results in order, large bytes handed over without a copy.

Processes, not threads: the decoders hold Python's lock. Knows nothing of images. The helpers share with this process
a few slots of memory into which they write; what a killed run leaves behind is nothing, since the slots have no name
and the kernel ends the helpers with this process.
"""

import collections
import dataclasses
import mmap
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from data.errors import UserError
from data.processes.parent_death import die_with_parent

_AHEAD = 2
"""Items in flight for each process: one that is worked on, and one whose result waits for its turn."""

_KEPT_BYTES = 1 << 23
"""Of each slot: what a result mostly needs is kept between two, as fresh memory costs time; what an enormous one needed
is given back at once."""

Part = tuple[Any, bytes | memoryview | None]
"""A small picklable value and, where it has any, the large bytes that belong to it."""


@dataclasses.dataclass(frozen=True)
class _Task:
    work: Callable[[Any], Iterator[Part]]
    slots: tuple[mmap.mmap, ...]


_task: _Task | None = None
"""In a helper process: what it does; inherited by the fork."""


def in_order(
    work: Callable[[Any], Iterator[Part]], items: list[Any], processes: int, largest_bytes: int
) -> Iterator[Iterable[Part]]:
    """Yield the parts that `work` makes of each item, item by item.

    Args:
        work: makes an item's parts; it runs in another process where `processes` is more than 1.
        items: picklable.
        processes: that work at once; with 1 there is none but this one, and parts are made as they are asked for.
        largest_bytes: of all parts of one item together. Memory is only reserved, and used as it is needed.

    The bytes of a part are good until the next item is asked for.

    Raises:
        UserError: a helper was killed.
        Exception: what `work` raised.
    """
    if processes == 1 or len(items) == 1:
        yield from map(work, items)
        return
    slots = tuple(mmap.mmap(-1, max(largest_bytes, 1)) for _ in range(_AHEAD * processes))
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("fork"),
        _begin,
        (_Task(work, slots), os.getpid()),
    )
    waiting: collections.deque[tuple[mmap.mmap, Future]] = collections.deque()
    try:
        for number, item in enumerate(items):
            if len(waiting) == len(slots):
                yield from _finished(waiting)
            waiting.append((slots[number % len(slots)], pool.submit(_fill, number % len(slots), item)))
        while waiting:
            yield from _finished(waiting)
    except BrokenProcessPool:
        raise UserError(
            "every helper process to finish",
            "one that was killed",
            "this machine, often for want of memory",
            "run again with fewer --workers or a lower [crops] max_megapixels",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _finished(waiting: collections.deque[tuple[mmap.mmap, Future]]) -> Iterator[list[Part]]:
    """Yield the oldest result, then give its memory back, but for what the next result will need as well."""
    slot, future = waiting.popleft()
    with memoryview(slot) as shared:
        parts = [
            (value, None if place is None else shared[slice(*place)]) for value, place in future.result()
        ]
        yield parts
        for _, content in parts:
            if content is not None:
                content.release()
    if len(slot) > _KEPT_BYTES:
        slot.madvise(mmap.MADV_REMOVE, _KEPT_BYTES)


def _begin(task: _Task, parent: int) -> None:
    global _task
    die_with_parent(parent)
    # Ctrl+C reaches every process of a terminal: the parent answers it, and ends its helpers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _task = task


def _fill(slot_number: int, item: Any) -> list[tuple[Any, tuple[int, int] | None]]:
    """Do the work for one item in a helper; the large bytes go into its slot."""
    slot, end, kept, parts = _task.slots[slot_number], 0, 0, []
    for value, content in _task.work(item):
        place = None
        if content is not None:
            place = (end, end + len(content))
            slot[place[0] : place[1]] = content
            end = place[1]
            if end - kept > _KEPT_BYTES:
                # Shared, so the bytes stay where they are; only this helper lets go of them.
                slot.madvise(mmap.MADV_DONTNEED)
                kept = end
        parts.append((value, place))
    slot.madvise(mmap.MADV_DONTNEED)
    return parts
