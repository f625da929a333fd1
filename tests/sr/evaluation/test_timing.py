"""A frame is timed after warming up, and durations are summarized."""

import numpy as np

from sr.evaluation.timing import MAX_ROUNDS, WARM_UP_ROUNDS, summarize_durations, time_frame


class RecordingUpscaler:
    """An upscaler that takes no time, and remembers its inputs."""

    name, scale, sha256, fixed_size = "recording", 2, None, None

    def __init__(self) -> None:
        self.shapes = []

    def __call__(self, lr_image: np.ndarray) -> np.ndarray:
        self.shapes.append(lr_image.shape)
        return lr_image


def test_a_frame_is_timed_after_warming_up():
    upscaler = RecordingUpscaler()
    timing = time_frame(upscaler)
    assert timing["lr_image_px"] == [256, 256] and timing["hr_image_px"] == [512, 512]
    assert timing["rounds"] == MAX_ROUNDS
    assert upscaler.shapes == [(256, 256, 3)] * (WARM_UP_ROUNDS + MAX_ROUNDS)


def test_a_model_of_a_fixed_size_is_timed_at_that_size():
    upscaler = RecordingUpscaler()
    upscaler.fixed_size = (32, 46)
    timing = time_frame(upscaler)
    assert timing["lr_image_px"] == [46, 32] and timing["hr_image_px"] == [92, 64]
    assert set(upscaler.shapes) == {(32, 46, 3)}


def test_durations_are_summarized_in_milliseconds():
    assert summarize_durations([0.004, 0.001, 0.002]) == {
        "median_ms": 2.0,
        "min_ms": 1.0,
        "max_ms": 4.0,
        "rounds": 3,
    }
