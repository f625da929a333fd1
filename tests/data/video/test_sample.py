import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from data.errors import UserError
from data.video.demux import FrameTable
from data.video.sample import plan_frames
from data.video.sampling_settings import VideoSettings


def table(frames: int, digest: str = "a", start: int = 500) -> FrameTable:
    """25 frames a second in milliseconds, a keyframe every 2 s."""
    times = start + 40 * np.arange(frames)
    return FrameTable(times, times[::50], Fraction(1, 1000), "h264", digest, "")


def test_spacings_are_within_bounds_and_about_ten_seconds():
    planned = plan_frames(table(25 * 7200), VideoSettings())
    gaps_s = np.diff([frame.time for frame in planned]) / 1000
    assert gaps_s.min() >= 4 and gaps_s.max() < 15.04
    assert gaps_s.mean() == pytest.approx(29 / 3, abs=0.3)
    assert len(set(gaps_s)) > 100


def test_each_frame_knows_the_keyframe_that_shows_last_before_it():
    video = table(2000)
    for frame in plan_frames(video, VideoSettings(0.5, 1, 2)):
        assert frame.time in video.times
        assert frame.key in video.keys and 0 <= frame.time - frame.key < 2000


def test_the_plan_follows_from_seed_and_video():
    video, settings = table(5000), VideoSettings()
    again = plan_frames(video, settings)
    assert plan_frames(video, settings) == again
    assert plan_frames(video, dataclasses.replace(settings, seed=1)) != again
    assert plan_frames(table(5000, "b"), settings) != again
    assert len(plan_frames(table(1), settings)) == 1


def test_a_still_that_is_held_long_gives_one_frame():
    times = np.array([0, 40, 60_000, 60_040, 90_000])
    video = FrameTable(times, times[:1], Fraction(1, 1000), "h264", "a", "")
    planned = plan_frames(video, VideoSettings())
    assert len({frame.time for frame in planned}) == len(planned)


@pytest.mark.parametrize("values", [(0, 1, 2), (3, 2, 4), (1, 5, 4), (float("nan"), 1, 2)])
def test_nonsense_is_refused(values):
    with pytest.raises(UserError, match=r"0 < least <= usual <= greatest"):
        VideoSettings(*values).check()
