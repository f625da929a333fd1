from fractions import Fraction

import av
import numpy as np
import pytest
from videos import frame_of

from data.video.pyav import (
    build_filter_graph,
    plane_array,
    read_side_data,
    require_dts,
    require_pts,
    require_time_base,
)


@pytest.mark.parametrize("pixels", ["gray", "gray10le", "gray10be"])
def test_planes_are_views_of_their_samples_in_any_byte_order(pixels):
    values = np.arange(20 * 30).reshape(20, 30) % 251
    dtype = {"gray": "u1", "gray10le": "<u2", "gray10be": ">u2"}[pixels]
    frame = frame_of([values.astype(dtype)], pixels)
    assert np.array_equal(plane_array(frame, 0), values)
    plane_array(frame, 0)[3, 4] = 200
    assert plane_array(frame, 0)[3, 4] == 200


def test_missing_times_are_errors():
    frame, packet = av.VideoFrame(16, 16), av.Packet(b"x")
    for require, item in (
        (require_pts, frame),
        (require_time_base, frame),
        (require_pts, packet),
        (require_dts, packet),
    ):
        with pytest.raises(TypeError, match="without a"):
            require(item)
    frame.pts, frame.time_base, packet.dts = 7, Fraction(1, 25), 5
    assert (require_pts(frame), require_time_base(frame), require_dts(packet)) == (7, Fraction(1, 25), 5)


def test_a_filter_graph_runs_its_filters_in_order():
    frame = frame_of([np.full((16, 32), 100, np.uint8)], "gray")
    graph = build_filter_graph(frame, Fraction(1, 25), ("scale", "w=8:h=4"), ("format", "rgb24"))
    graph.vpush(frame)
    small = graph.vpull().to_ndarray()
    assert small.shape == (4, 8, 3) and (small == 100).all()
    assert read_side_data(frame) == {}
