"""The planes and colors of one upscaled frame, with networks that only repeat pixels."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from data.video.pyav import plane_array
from sr.upscale.video.upscale_frame import FrameUpscaler
from sr.upscale.video.upscale_plane import BICUBIC, _phase_kernels, upscale_plane
from sr.upscale.video.video_info import VideoInfo


class Repeating:
    """Repeats every pixel, and keeps its inputs in `seen`."""

    name, scale, workers = "repeating", 2, 1

    def __init__(self, color: str) -> None:
        self.color, self.seen = color, []

    def upscale_uint8(self, lr_image):
        assert lr_image.dtype == np.uint8
        return self.upscale_levels(lr_image)

    def upscale_levels(self, lr_image):
        self.seen.append(lr_image)
        return lr_image.repeat(2, axis=0).repeat(2, axis=1)


def video(pixels: str, matrix: int, color_range: int = 1, chroma: str = "420", bits: int = 0) -> VideoInfo:
    tags = {"color_primaries": matrix, "color_trc": matrix, "colorspace": matrix}
    return VideoInfo(
        path=Path("in.mkv"), stream_index=0, width=64, height=48, chroma=chroma,
        bit_depth=bits or (10 if pixels.endswith("10le") else 8), time_base=Fraction(1, 1000),
        first_pts=0, last_pts=0, last_duration=0, frame_count=1, frame_rate=Fraction(25),
        sample_aspect_ratio=Fraction(1), color_tags=tags | {"color_range": color_range},
        matrix="bt709" if matrix == 1 else "bt601", chroma_location="left", display_matrix=(),
        master_display="", light_level="", dropped_metadata=(), truncation="", shared_milliseconds=0,
    )  # fmt: skip


def flat(pixels: str, *values: int) -> av.VideoFrame:
    frame = av.VideoFrame(64, 48, pixels)
    for number, value in enumerate(values):
        plane_array(frame, number)[:] = value
    frame.pts = 0
    return frame


def ramps(pixels: str) -> av.VideoFrame:
    """Y rises to the right, U downwards, V to the right; all values are within the RGB gamut."""
    frame = av.VideoFrame(64, 48, pixels)
    one = 4 if pixels.endswith("10le") else 1
    y = np.arange(64) + 90.0 + np.zeros((48, 1))
    u = np.arange(24)[:, None] + 118.0 + np.zeros((1, 32))
    v = np.arange(32)[None] / 2 + 118.0 + np.zeros((24, 1))
    for number, values in enumerate((y, u, v)):
        plane_array(frame, number)[:] = np.rint(values * one)
    frame.pts = 7
    return frame


def test_an_upscaled_ramp_stays_in_place():
    """Left chroma location: sample j of the result lies at luma 2j, which is source sample j/2 - 1/8."""
    ramp = (np.arange(32) * 32 + np.zeros((16, 1))).astype(np.uint16)
    for location, shift in (("left", -1 / 8), ("center", -1 / 4)):
        upscaled = upscale_plane(ramp, 2, 1023, (2, 2), location)
        assert np.array_equal(upscaled[8, 8:-8], np.rint((np.arange(64) / 2 + shift) * 32)[8:-8])
    upscaled = upscale_plane(ramp.T.copy(), 2, 1023, (2, 2), "left")
    assert np.array_equal(upscaled[8:-8, 8], np.rint((np.arange(64) / 2 - 1 / 4) * 32)[8:-8])


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize(("dtype", "max_value"), [(np.uint8, 255), (np.uint16, 1023)])
def test_a_plane_is_what_two_passes_over_each_phase_give(scale, dtype, max_value):
    """Bit for bit, ties included, so that the segments of an earlier version fit those of this one."""
    for location, size in (
        ("left", (67, 129)),
        ("topleft", (64, 128)),
        ("center", (1, 1)),
        ("left", (2, 300)),
    ):
        plane = np.random.default_rng(scale).integers(0, max_value + 1, size).astype(dtype)
        offsets = [0.0 if location == "topleft" else 0.5, 0.5 if location == "center" else 0.0]
        rows, columns = (_phase_kernels(scale, 2, offset, BICUBIC) for offset in offsets)
        expected = np.empty((size[0], scale, size[1], scale), np.float32)
        for y, x in np.ndindex(scale, scale):
            expected[:, y, :, x] = cv2.sepFilter2D(
                plane.astype(np.float32), -1, columns[x], rows[y], borderType=cv2.BORDER_REPLICATE
            )
        expected = np.rint(expected.clip(0, max_value)).reshape(size[0] * scale, -1)
        np.testing.assert_array_equal(upscale_plane(plane, scale, max_value, (2, 2), location), expected)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("matrix", [1, 6], ids=["bt709", "bt601"])
def test_rgb_models_get_the_videos_colors_and_the_result_has_them(pixels, matrix):
    network, frame = Repeating("rgb"), ramps(pixels)
    upscaled = FrameUpscaler(network, video(pixels, matrix), 2, pixels)(frame)
    assert (upscaled.width, upscaled.height, upscaled.format.name, upscaled.pts) == (128, 96, pixels, 7)
    one = 4 if pixels.endswith("10le") else 1
    for number in range(3):
        lr_image = plane_array(frame, number).astype(float)
        middle = plane_array(upscaled, number).astype(float)[8:-8:2, 8:-8:2]
        # One step of 8-bit RGB may be a step of any plane; chroma moved by up to half a sample of its slope.
        assert np.abs(middle - lr_image[4:-4, 4:-4]).max() <= 1.6 * one
    (seen,) = network.seen
    y, u, v = 130.0, plane_array(frame, 1)[12, 20] / one, plane_array(frame, 2)[12, 20] / one
    red = 1.164384 * (y - 16) + (1.792741 if matrix == 1 else 1.596027) * (v - 128)
    green = 1.164384 * (y - 16) - ((0.213249 if matrix == 1 else 0.391762) * (u - 128))
    green -= (0.532909 if matrix == 1 else 0.812968) * (v - 128)
    assert np.abs(seen[24, 40, :2] - [red, green]).max() < 1.5


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
def test_luma_models_get_the_plane_as_it_was_decoded(pixels):
    network, frame = Repeating("luma"), ramps(pixels)
    upscaled = FrameUpscaler(network, video(pixels, 1), 2, pixels)(frame)
    luma, (seen,) = plane_array(frame, 0), network.seen
    assert seen.shape == (48, 64, 1)
    assert np.array_equal(seen[..., 0], luma / (4 if pixels.endswith("10le") else 1))
    assert np.array_equal(plane_array(upscaled, 0), luma.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("color", ["", "luma", "rgb"])
@pytest.mark.parametrize(
    ("chroma", "bits", "color_range", "source", "values", "pixels", "wanted"),
    [
        ("420", 10, 1, "yuv420p10le", (500, 300, 600), "yuv420p10le", (500, 300, 600)),
        ("420", 10, 2, "yuv420p10le", (940, 512, 512), "yuv420p10le", (940, 512, 512)),
        ("420", 10, 2, "yuv420p10le", (500, 300, 600), "yuv420p10le", (500, 300, 600)),
        ("420", 8, 2, "yuv420p", (100, 128, 128), "yuv420p", (100, 128, 128)),
        ("gray", 10, 1, "gray10le", (940,), "gray10le", (940,)),
        ("gray", 10, 2, "gray10le", (1023,), "gray10le", (1023,)),
        ("gray", 8, 1, "gray", (100,), "gray", (100,)),
        ("rgb", 10, 1, "gbrp10le", (1023, 1023, 1023), "yuv444p10le", (940, 512, 512)),
        ("rgb", 12, 1, "gbrp12le", (2048, 2048, 2048), "yuv444p10le", (502, 512, 512)),
        ("rgb", 8, 1, "gbrp", (255, 255, 255), "yuv444p", (235, 128, 128)),
    ],
)
def test_flat_frames_keep_their_levels(color, chroma, bits, color_range, source, values, pixels, wanted):
    network = Repeating(color) if color else None
    upscaler = FrameUpscaler(network, video(pixels, 1, color_range, chroma, bits), 2, pixels)
    upscaled = upscaler(flat(source, *values))
    assert [int(plane_array(upscaled, number)[40, 40]) for number in range(len(wanted))] == list(wanted)


@pytest.mark.parametrize(
    ("chroma", "color_range", "pixels", "white"),
    [
        ("420", 1, "yuv420p10le", (940, 512, 512)),
        ("420", 2, "yuv420p10le", (1023, 512, 512)),
        ("gray", 1, "gray10le", (940,)),
        ("gray", 2, "gray10le", (1023,)),
        ("rgb", 1, "gbrp10le", (1023, 1023, 1023)),
    ],
)
def test_white_is_255_for_an_rgb_network(chroma, color_range, pixels, white):
    network = Repeating("rgb")
    made = "yuv444p10le" if chroma == "rgb" else pixels
    FrameUpscaler(network, video(made, 1, color_range, chroma), 2, made)(flat(pixels, *white))
    assert np.abs(network.seen[0] - 255).max() < 0.1


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
def test_luma_models_get_full_range_as_limited_range(pixels):
    network, frame = Repeating("luma"), ramps(pixels)
    full = replace(video(pixels, 1), color_tags=video(pixels, 1).color_tags | {"color_range": 2})
    top = 1023 if pixels.endswith("10le") else 255
    plane_array(frame, 0)[:] = np.linspace(0, top, 64)
    upscaled = FrameUpscaler(network, full, 2, pixels)(frame)
    luma, (seen,) = plane_array(frame, 0), network.seen
    assert np.abs(seen[..., 0] - (16 + luma / top * 219)).max() < 1e-3
    assert np.array_equal(plane_array(upscaled, 0), luma.repeat(2, axis=0).repeat(2, axis=1))
