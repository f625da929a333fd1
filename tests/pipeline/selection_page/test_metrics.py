"""Steps of thresholds are round parts of a metric's range; histograms leave no crop out."""

import numpy as np
import pytest

from pipeline.selection.rules import parse_rule
from pipeline.selection_page.metrics import count_values, nearest_rows
from pipeline.selection_page.steps import choose_step, count_rule

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "step"),
    [
        (np.arange(101.0), 5.0),
        (np.linspace(0, 0.3, 50), 0.01),
        (np.full(9, 4.0), 0.2),
        (np.zeros(5), 0.05),
        (np.array([NAN, NAN]), 1.0),
        (np.array([NAN, 0.0, 1000.0]), 50.0),
    ],
)
def test_a_step_is_a_round_part_of_the_range(values, step):
    assert choose_step(values) == pytest.approx(step)


def test_a_step_of_a_percentile_is_one_percent_and_stays_within_0_and_100():
    values = np.arange(1000.0)
    steps = count_rule(parse_rule("noise <= p99.5"), values, np.arange(1000))
    assert [steps.looser.label, steps.as_it_is.label, steps.stricter.label] == [
        "noise <= p100", "noise <= p99.5", "noise <= p98.5",
    ]  # fmt: skip
    assert (steps.looser.rejected, steps.as_it_is.rejected, steps.stricter.rejected) == (0, 5, 15)


def test_only_crops_that_reach_a_rule_are_counted_and_one_without_a_value_is_rejected():
    values = np.array([0.0, 1.0, 2.0, NAN, 4.0])
    steps = count_rule(parse_rule("beauty > 1"), values, np.array([1, 2, 3]))
    assert steps.reached == 3 and steps.as_it_is.rejected == 2


@pytest.mark.parametrize("values", [np.full(7, 3.0), np.array([1e9, 1e9 + 1e-6] * 4), np.arange(500.0) ** 3])
def test_a_histogram_counts_every_value(values):
    selected = np.arange(len(values)) % 2 == 0
    found = count_values("noise", np.append(values, NAN), np.append(selected, True))
    assert (sum(found.selected), sum(found.rejected), found.missing) == (selected.sum(), (~selected).sum(), 1)
    assert sorted(set(found.edges)) == [*found.edges]
    assert count_values("noise", np.array([NAN]), np.array([True])) is None


def test_the_nearest_crops_are_on_their_sides():
    values = np.array([1.0, 5.0, 4.9, 2.0, 5.1, NAN])
    rejected, kept = nearest_rows(parse_rule("noise >= 5"), values, np.array([0, 2, 3, 5]), np.array([1, 4]))
    assert rejected == [2, 3, 0] and kept == [1, 4]
