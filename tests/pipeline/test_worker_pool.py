import os
import signal

import pytest

from data.errors import UserError
from pipeline import worker_pool


def spell(item: int):
    for letter in range(item):
        yield (item, letter), bytes([letter]) * item
    yield "no bytes", None


def listed(items, processes):
    return [
        [(value, content and bytes(content)) for value, content in parts]
        for parts in worker_pool.in_order(spell, items, processes, 10_000)
    ]


@pytest.mark.parametrize("processes", [2, 3])
def test_results_come_in_order_and_equal_those_of_one_process(processes):
    items = [5, 1, 40, 0, 7, 2, 90, 3]
    assert listed(items, processes) == listed(items, 1)


def test_an_error_of_a_helper_is_raised_here():
    def refuse(item):
        raise UserError("a", "b", "c", "d")
        yield

    with pytest.raises(UserError, match="Expected a, got b in c"):
        list(worker_pool.in_order(refuse, [1, 2, 3], 2, 10))


def test_a_helper_that_is_killed_is_said_to_be():
    def die(item):
        os.kill(os.getpid(), signal.SIGKILL)
        yield

    with pytest.raises(UserError, match="one that was killed"):
        list(worker_pool.in_order(die, [1, 2, 3], 2, 10))


def test_an_item_that_outgrows_its_memory_is_refused_not_cut():
    with pytest.raises(IndexError, match="wrong size"):
        list(worker_pool.in_order(spell, [100, 100], 2, 10))
