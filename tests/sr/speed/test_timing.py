"""Durations are measured in interleaved rounds, after warming up, within the limits; the clock is simulated."""

import pytest

from sr.speed.timing import TimingSettings, measure_throughput, summarize_percentiles, time_interleaved


class SimulatedClock:
    """A clock that advances only when its calls are called."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, []

    def __call__(self) -> float:
        return self.now

    def make_call(self, name: str, seconds: float):
        def call() -> None:
            self.calls.append(name)
            self.now += seconds

        return call


def test_rounds_are_interleaved_and_warm_up_does_not_count():
    clock = SimulatedClock()
    settings = TimingSettings(budget_s=1.0, min_rounds=3, max_rounds=100, warm_up_rounds=2)
    seconds = time_interleaved(
        {"slow": clock.make_call("slow", 0.25), "fast": clock.make_call("fast", 0.125)}, settings, clock
    )
    # The slow call has used a second after four rounds.
    assert seconds == {"slow": [0.25] * 4, "fast": [0.125] * 4}
    assert clock.calls == ["slow", "fast"] * 6


@pytest.mark.parametrize(("takes_s", "rounds"), [(100.0, 3), (0.001, 7)])
def test_rounds_are_neither_too_few_nor_too_many(takes_s, rounds):
    clock = SimulatedClock()
    settings = TimingSettings(budget_s=1.0, min_rounds=3, max_rounds=7, warm_up_rounds=0)
    assert len(time_interleaved({"one": clock.make_call("one", takes_s)}, settings, clock)["one"]) == rounds


def test_durations_are_summarized_as_percentiles():
    found = summarize_percentiles([number / 1000 for number in range(1, 12)])
    assert found == {"median_ms": 6.0, "p10_ms": 2.0, "p90_ms": 10.0, "rounds": 11}


def test_throughput_counts_finished_frames():
    clock = SimulatedClock()
    submit, wait = clock.make_call("submit", 0.25), clock.make_call("wait", 1.0)
    found = measure_throughput(submit, wait, 2, TimingSettings(budget_s=2.0, min_rounds=1), clock)
    # Two warm-up frames are waited for; then eight frames fill two seconds, and waiting for the last takes one more.
    assert clock.calls == ["submit"] * 2 + ["wait"] + ["submit"] * 8 + ["wait"]
    assert found == {"frames_per_s": round(8 / 3, 3), "frames": 8, "requests": 2}


def test_there_are_at_least_twice_as_many_frames_as_requests():
    clock = SimulatedClock()
    slow = clock.make_call("submit", 9.0)
    found = measure_throughput(
        slow, clock.make_call("", 0.0), 4, TimingSettings(budget_s=1.0, min_rounds=5), clock
    )
    assert found["frames"] == 8
