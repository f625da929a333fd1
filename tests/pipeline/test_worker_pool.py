import os
import signal

import pytest

from data.errors import UserError
from pipeline import worker_pool


def spell(item: int):
    for letter in range(item):
        yield (item, letter), bytes([letter]) * item
    yield "no bytes", None


def collect(items, processes):
    return [
        [(value, content and bytes(content)) for value, content in parts]
        for parts in worker_pool.map_in_order(spell, items, processes, 10_000)
    ]


@pytest.mark.parametrize("processes", [2, 3])
def test_results_come_in_order_and_equal_the_results_of_one_process(processes):
    items = [5, 1, 40, 0, 7, 2, 90, 3]
    assert collect(items, processes) == collect(items, 1)


def test_an_error_in_a_worker_is_raised_in_the_parent():
    def refuse(item):
        raise UserError("a is wrong", "Do b")
        yield

    with pytest.raises(UserError, match="a is wrong. Do b"):
        list(worker_pool.map_in_order(refuse, [1, 2, 3], 2, 10))


def test_a_killed_worker_is_an_error():
    def die(item):
        os.kill(os.getpid(), signal.SIGKILL)
        yield

    with pytest.raises(UserError, match="A worker process was killed"):
        list(worker_pool.map_in_order(die, [1, 2, 3], 2, 10))


def test_a_result_larger_than_its_memory_is_refused_not_truncated():
    with pytest.raises(IndexError, match="wrong size"):
        list(worker_pool.map_in_order(spell, [100, 100], 2, 10))


def test_memory_that_cannot_be_reserved_is_an_error():
    with pytest.raises(UserError, match="can't reserve 4 × .* bytes for results: Cannot allocate memory"):
        list(worker_pool.map_in_order(spell, [1, 2], 2, 1 << 52))
