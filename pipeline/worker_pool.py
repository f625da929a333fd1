"""Process many items in several processes, with results in order and large byte strings passed without a copy.

Processes are used instead of threads because the decoders hold Python's interpreter lock. The worker processes share a
few slots of memory with the parent, and write large results into them. A killed run leaves nothing behind: the slots
have no name, and the kernel ends the workers together with the parent.
"""

import collections
import dataclasses
import mmap
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from data.errors import UserError
from data.processes.parent_death import die_with_parent
from data.processes.rust_panics import limit_rust_panics

Item = TypeVar("Item")
Value = TypeVar("Value")

_ITEMS_PER_PROCESS = 2
"""Items in flight for each process: one in progress, and one whose result waits for its turn."""

_KEPT_BYTES = 1 << 23
"""Bytes of each slot that stay allocated between two results, since fresh memory costs time. The rest, which only an
enormous result needs, is returned to the system at once."""

_USE_LESS = "Run again with fewer --workers or a lower [crops] max_megapixels"

_Span = tuple[int, int]
"""First byte in a slot, and the byte after the last."""

_Pending = collections.deque[tuple[mmap.mmap, Future[list[tuple[Any, _Span | None]]]]]
"""Slots with the results that will be in them, the oldest first."""


@dataclasses.dataclass(frozen=True)
class _Task:
    """What a worker process does, and the slots that it shares with the parent."""

    work: Callable[[Any], Iterable[tuple[Any, bytes | None]]]
    slots: tuple[mmap.mmap, ...]


_task: _Task | None = None
"""Set in worker processes; inherited by the fork."""


def map_in_order(
    work: Callable[[Item], Iterable[tuple[Value, bytes | None]]],
    items: Sequence[Item],
    processes: int,
    largest_bytes: int,
) -> Iterator[Iterable[tuple[Value, bytes | memoryview | None]]]:
    """Apply `work` to each item, and yield its results item by item, in the order of the items.

    `work` yields pairs of a small picklable value and, optionally, a large byte string. The bytes that arrive here are
    valid until the next item is requested.

    Args:
        work: processes one item; runs in another process if `processes` is more than 1.
        items: picklable.
        processes: number of worker processes. With 1, everything runs in this process, and lazily.
        largest_bytes: upper limit for all byte strings of one item together. The memory is only reserved, and used as
            needed.

    Raises:
        UserError: a worker process was killed, or there is no memory for the results.
        Exception: whatever `work` raises.
    """
    if processes == 1 or len(items) == 1:
        yield from map(work, items)
        return
    slots = _reserve_slots(_ITEMS_PER_PROCESS * processes, largest_bytes)
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, fork, _start_worker, (_Task(work, slots), os.getpid()))
    pending: _Pending = collections.deque()
    try:
        for number, item in enumerate(items):
            if len(pending) == len(slots):
                yield from _take_oldest(pending)
            pending.append((slots[number % len(slots)], pool.submit(_process, number % len(slots), item)))
        while pending:
            yield from _take_oldest(pending)
    except BrokenProcessPool:
        raise UserError(
            "A worker process was killed, probably because this machine ran out of memory",
            _USE_LESS,
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _reserve_slots(count: int, each_bytes: int) -> tuple[mmap.mmap, ...]:
    """Reserve the memory that worker processes share with this one; it has no name and needs no /dev/shm."""
    try:
        return tuple(mmap.mmap(-1, max(each_bytes, 1)) for _ in range(count))
    except OSError as error:
        message = f"This machine can't reserve {count} × {each_bytes} bytes for results: {error.strerror}"
        raise UserError(message, _USE_LESS) from error


def _take_oldest(pending: _Pending) -> Iterator[list[tuple[Any, bytes | memoryview | None]]]:
    """Yield the oldest result, then return its memory except for the part that the next result needs too."""
    slot, future = pending.popleft()
    with memoryview(slot) as shared:
        parts = [(value, None if span is None else shared[slice(*span)]) for value, span in future.result()]
        yield [*parts]
        for _, content in parts:
            if content is not None:
                content.release()
    if len(slot) > _KEPT_BYTES:
        slot.madvise(mmap.MADV_REMOVE, _KEPT_BYTES)


def _start_worker(task: _Task, parent: int) -> None:
    global _task
    die_with_parent(parent)
    limit_rust_panics()
    # Ctrl+C reaches every process of a terminal. The parent handles it, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _task = task


def _process(slot_number: int, item: Any) -> list[tuple[Any, _Span | None]]:
    """Process one item in a worker process, and write the byte strings into its slot."""
    assert _task is not None
    slot, end, kept = _task.slots[slot_number], 0, 0
    parts: list[tuple[Any, _Span | None]] = []
    for value, content in _task.work(item):
        span = None
        if content is not None:
            span = (end, end + len(content))
            slot[span[0] : span[1]] = content
            end = span[1]
            if end - kept > _KEPT_BYTES:
                # The memory is shared, so the bytes stay where they are; only this process unmaps them.
                slot.madvise(mmap.MADV_DONTNEED)
                kept = end
        parts.append((value, span))
    slot.madvise(mmap.MADV_DONTNEED)
    return parts
