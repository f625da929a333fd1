"""The short form of the matrix of videos: cases that stand for a kind, and each one that was broken once.

`tests/faults/video_matrix.py` runs all of them.
"""

import itertools

import pytest
from clips import Clip
from matrix_of_videos import codec_cases, label, output_cases, run_cases, sound_cases, subtitle_cases
from matrix_page import PAGE
from video_cases import OUTPUTS, REFUSED, RIGHT, Bench, Case


def name_of(case: Case) -> str:
    clip = case.clip
    return f"{clip.container}-{clip.video}-{clip.pixels}-{clip.audio}-{case.output}-{case.codec}-{case.audio}"


@pytest.mark.parametrize(
    "case",
    [
        Case(Clip(".avi", "amv", "yuvj420p", frames=3), ".mkv"),
        Case(Clip(".mkv", "ffv1", "gbrap10le", frames=3), ".mkv"),
        Case(Clip(".mkv", "ffv1", "gbrap16le", frames=3), ".mp4", "x265"),
        Case(Clip(".mkv", "ffv1", "gbrap12le", frames=3), ".mkv"),
        Case(Clip(".mkv", "mpeg4", audio="alac", frames=4), ".mp4"),
        Case(Clip(".wmv", "wmv2", audio="wmav2"), ".mkv"),
        Case(Clip(".vob", "mpeg2video", audio="pcm_dvd"), ".mp4", audio="aac"),
        Case(Clip(".mkv", "libx264", subtitle="subrip"), ".mkv"),
        Case(Clip(".ogv", "libvpx", audio="vorbis", frames=4), ".mp4"),
        Case(Clip(".mp4", "mpeg4", subtitle="mov_text"), ".mov"),
    ],
    ids=name_of,
)
def test_what_was_broken_once_is_right(case, tmp_path):
    bench = Bench(tmp_path)
    assert bench.can_make(case.clip)
    outcome = bench.run(case)
    assert outcome.kind == RIGHT, outcome


def check_no_faults(bench: Bench, cases: list[Case], at_least: int) -> None:
    """Check that the cases are right or refused; `at_least` so many have to be right."""
    results = list(run_cases(bench, iter(cases)))
    assert [(case, outcome) for case, outcome in results if outcome.kind not in (RIGHT, REFUSED)] == []
    assert sum(outcome.kind == RIGHT for _, outcome in results) >= at_least


def test_every_container_becomes_every_other(tmp_path):
    cases = [case for case in output_cases() if case.codec in ("x264", "svtav1")]
    check_no_faults(Bench(tmp_path), cases[::3], 20)


def test_a_sample_of_all_codecs_is_right_or_refused(tmp_path):
    bench = Bench(tmp_path)
    containers = (".mkv", ".mov", ".avi", ".mp4")
    check_no_faults(bench, [case for case in codec_cases() if case.clip.container in containers][::11], 8)
    check_no_faults(bench, [case for case in subtitle_cases() if case.clip.container in containers][::3], 3)


def test_sound_is_copied_or_refused_as_the_page_says(tmp_path):
    cases = [case for case in sound_cases() if case.clip.container in (".mkv", ".mov", ".avi")]
    results = list(run_cases(Bench(tmp_path), itertools.islice(cases, 0, None, 13)))
    rows = {line.split(" | ")[0]: line.split(" | ") for line in PAGE.read_text().splitlines()}
    for case, outcome in results:
        stated = rows[f"| {label(case.clip.audio)}"][1 + OUTPUTS.index(case.output)]
        assert {RIGHT: "copied", REFUSED: "refused"}[outcome.kind] in stated, (case, outcome)
    assert len(results) >= 20
