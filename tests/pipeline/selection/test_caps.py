import numpy as np

from pipeline.selection.caps import compute_quotas, draw_order, rank_within, take_in_order


def test_every_source_is_drawn_before_any_is_drawn_twice():
    sources = np.array([0] * 6 + [1] * 2 + [2])
    keys = [f"k{row}" for row in range(len(sources))]
    order, ranks = draw_order(sources, keys, 0)
    assert sorted(sources[order[:3]]) == [0, 1, 2]
    assert sorted(sources[order[3:5]]) == [0, 1]
    assert [sorted(ranks[sources == one]) for one in range(3)] == [list(range(6)), [0, 1], [0]]


def test_the_seed_and_the_keys_alone_fix_the_draw():
    sources, keys = np.array([0, 0, 0, 1, 1]), ["a", "b", "c", "d", "e"]
    order, _ = draw_order(sources, keys, 3)
    turned, _ = draw_order(sources[::-1], keys[::-1], 3)
    assert [keys[row] for row in order] == [keys[::-1][row] for row in turned]
    others = {tuple(draw_order(sources, keys, seed)[0]) for seed in range(8)}
    assert len(others) > 1
    none, _ = draw_order(np.array([], np.int64), [], 0)
    assert len(none) == 0


def test_quotas_are_as_the_weights_and_never_more_than_there_is():
    assert compute_quotas([300, 50], [2, 1], 0) == [100, 50]
    assert compute_quotas([300, 50], [2, 1], 30) == [20, 10]
    assert compute_quotas([10, 10, 10], [1, 1, 2], 0) == [5, 5, 10]
    assert compute_quotas([10, 0], [1, 1], 0) == [10, 0]
    assert compute_quotas([0, 0], [1, 1], 5) == [0, 0]


def test_quotas_are_taken_in_order():
    order = np.array([4, 2, 0, 1, 3])
    assert take_in_order(order, np.array([0, 1, 0, 1, 0]), [1, 2]).tolist() == [
        False,
        True,
        False,
        True,
        True,
    ]


def test_ranks_within_groups_follow_the_order():
    assert rank_within(np.array([4, 2, 0, 1, 3]), np.array([7, 7, 9, 9, 7])).tolist() == [1, 2, 0, 1, 0]
    assert rank_within(np.array([], int), np.array([], int)).tolist() == []
