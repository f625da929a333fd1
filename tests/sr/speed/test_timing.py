"""Times are taken in turn, after warming up, within the limits; the clock is a made one."""

import pytest

from sr.speed.timing import Limits, in_turn, side_by_side, spread


class Made:
    """A clock that calls move forward."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, []

    def __call__(self) -> float:
        return self.now

    def takes(self, name: str, seconds: float):
        def call() -> None:
            self.calls.append(name)
            self.now += seconds

        return call


def test_rounds_are_in_turn_and_warm_up_does_not_count():
    clock = Made()
    limits = Limits(budget_s=1.0, least_rounds=3, most_rounds=100, warm_up_rounds=2)
    seconds = in_turn({"slow": clock.takes("slow", 0.25), "fast": clock.takes("fast", 0.125)}, limits, clock)
    # The slow one has used a second after four rounds.
    assert seconds == {"slow": [0.25] * 4, "fast": [0.125] * 4}
    assert clock.calls == ["slow", "fast"] * 6


@pytest.mark.parametrize(("takes_s", "rounds"), [(100.0, 3), (0.001, 7)])
def test_rounds_are_neither_too_few_nor_too_many(takes_s, rounds):
    clock = Made()
    limits = Limits(budget_s=1.0, least_rounds=3, most_rounds=7, warm_up_rounds=0)
    assert len(in_turn({"one": clock.takes("one", takes_s)}, limits, clock)["one"]) == rounds


def test_spread_has_the_percentiles():
    found = spread([number / 1000 for number in range(1, 12)])
    assert found == {"median_ms": 6.0, "p10_ms": 2.0, "p90_ms": 10.0, "rounds": 11}


def test_frames_a_second_count_what_was_finished():
    clock = Made()
    submit, finish = clock.takes("submit", 0.25), clock.takes("finish", 1.0)
    found = side_by_side(submit, finish, 2, Limits(budget_s=2.0, least_rounds=1), clock)
    # Two frames warm up and are waited for; then eight frames fill two seconds, and the last of them take one more.
    assert clock.calls == ["submit"] * 2 + ["finish"] + ["submit"] * 8 + ["finish"]
    assert found == {"frames_per_s": round(8 / 3, 3), "frames": 8, "requests": 2}


def test_slow_frames_are_at_least_twice_the_requests():
    clock = Made()
    slow = clock.takes("submit", 9.0)
    found = side_by_side(slow, clock.takes("", 0.0), 4, Limits(budget_s=1.0, least_rounds=5), clock)
    assert found["frames"] == 8
