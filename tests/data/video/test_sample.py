import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from data.errors import UserError
from data.video.demux import FrameTable
from data.video.sample import plan_frames
from data.video.sampling_settings import FrameSamplingSettings


def table(frames: int, digest: str = "a", start: int = 500) -> FrameTable:
    """25 frames a second in milliseconds, a keyframe every 2 s."""
    times = start + 40 * np.arange(frames)
    return FrameTable(times, times[::50], Fraction(1, 1000), "h264", digest, "")


def test_spacings_are_within_bounds_and_about_ten_seconds_on_average():
    planned = plan_frames(table(25 * 7200), FrameSamplingSettings())
    gaps_s = np.diff([frame.pts for frame in planned]) / 1000
    assert gaps_s.min() >= 4 and gaps_s.max() < 15.04
    assert gaps_s.mean() == pytest.approx(29 / 3, abs=0.3)
    assert len(set(gaps_s)) > 100


def test_each_frame_has_the_last_keyframe_before_it():
    video = table(2000)
    for frame in plan_frames(video, FrameSamplingSettings(0.5, 1, 2)):
        assert frame.pts in video.pts
        assert frame.keyframe_pts in video.keyframe_pts and 0 <= frame.pts - frame.keyframe_pts < 2000


def test_the_plan_depends_on_the_seed_and_the_video():
    video, settings = table(5000), FrameSamplingSettings()
    again = plan_frames(video, settings)
    assert plan_frames(video, settings) == again
    assert plan_frames(video, dataclasses.replace(settings, seed=1)) != again
    assert plan_frames(table(5000, "b"), settings) != again
    assert len(plan_frames(table(1), settings)) == 1


def test_a_still_shown_for_long_gives_one_frame():
    times = np.array([0, 40, 60_000, 60_040, 90_000])
    video = FrameTable(times, times[:1], Fraction(1, 1000), "h264", "a", "")
    planned = plan_frames(video, FrameSamplingSettings())
    assert len({frame.pts for frame in planned}) == len(planned)


@pytest.mark.parametrize("values", [(0, 1, 2), (3, 2, 4), (1, 5, 4), (float("nan"), 1, 2)])
def test_invalid_spacings_are_rejected(values):
    with pytest.raises(UserError, match=r"0 < min_spacing_s <= typical_spacing_s"):
        FrameSamplingSettings(*values).check()
