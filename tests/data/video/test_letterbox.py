import numpy as np
import pytest

from data.records import Box
from data.video.letterbox import find_content_boxes, find_edges


def luma_with_bars(top, bottom, left=0, right=160, level=0.4, height=120, width=160):
    luma = np.random.default_rng(0).normal(0, 0.004, (height, width)).astype(np.float32)
    luma[top:bottom, left:right] += level
    return luma


@pytest.mark.parametrize(
    "edges", [((13, 107), (0, 160)), ((0, 120), (21, 139)), ((7, 101), (3, 157)), ((0, 120), (0, 160))]
)
def test_edges_are_found_to_the_pixel(edges):
    (top, bottom), (left, right) = edges
    assert find_edges(luma_with_bars(top, bottom, left, right)) == edges
    boxes = find_content_boxes([edges] * 3, 120, 160, (1, 1))
    assert boxes == [Box(top, left, bottom - top, right - left)] * 3


def test_a_black_frame_has_no_edges():
    assert find_edges(luma_with_bars(0, 0)) is None


def test_dark_frames_are_outvoted():
    edges = [((12, 108), (0, 160))] * 8 + [((40, 90), (30, 100)), None, ((12, 77), (0, 160))]
    assert set(find_content_boxes(edges, 120, 160, (2, 2))) == {Box(12, 0, 96, 160)}


def test_a_video_with_two_aspect_ratios_keeps_both():
    edges = (
        [((12, 108), (0, 160))] * 6
        + [((0, 120), (0, 160))] * 4
        + [((30, 100), (0, 160)), ((5, 110), (0, 160))]
    )
    boxes = find_content_boxes(edges, 120, 160, (2, 2))
    assert boxes[:6] == [Box(12, 0, 96, 160)] * 6
    assert boxes[6:10] == [Box(0, 0, 120, 160)] * 4
    assert boxes[10:] == [Box(12, 0, 96, 160), Box(0, 0, 120, 160)]


def test_a_subtitle_in_a_bar_is_cut_off():
    edges = [((12, 108), (0, 160))] * 20 + [((12, 116), (0, 160))]
    assert set(find_content_boxes(edges, 120, 160, (2, 2))) == {Box(12, 0, 96, 160)}


def test_chroma_samples_that_are_half_bar_are_cut_off():
    assert find_content_boxes([((13, 107), (0, 160))] * 2, 120, 160, (2, 2)) == [Box(14, 0, 92, 160)] * 2


def test_with_few_frames_the_box_holds_all_of_them():
    assert (
        find_content_boxes([((20, 90), (0, 160)), ((12, 80), (0, 160))], 120, 160, (2, 2))
        == [Box(12, 0, 78, 160)] * 2
    )
    assert find_content_boxes([None, None], 120, 160, (2, 2)) == [Box(0, 0, 120, 160)] * 2
