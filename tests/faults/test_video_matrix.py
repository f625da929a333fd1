"""The short form of the matrix of videos: cases that stand for a kind, and each one that was broken once.

`tests/faults/video_matrix.py` runs all of them.
"""

import pytest
from clips import Clip
from video_cases import RIGHT, Bench, Case


@pytest.mark.parametrize(
    "case",
    [
        Case(Clip(".avi", "amv", "yuvj420p", frames=3), ".mkv"),
        Case(Clip(".mkv", "ffv1", "gbrap10le", frames=3), ".mkv"),
        Case(Clip(".mkv", "ffv1", "gbrap16le", frames=3), ".mp4", "x265"),
        Case(Clip(".mkv", "ffv1", "gbrap12le", frames=3), ".mkv"),
    ],
    ids=lambda case: f"{case.clip.container[1:]}-{case.clip.video}-{case.clip.pixels}{case.output}",
)
def test_frames_of_an_unusual_layout_keep_their_colors(case, tmp_path):
    bench = Bench(tmp_path)
    assert bench.can_make(case.clip)
    outcome = bench.run(case)
    assert outcome.kind == RIGHT, outcome
