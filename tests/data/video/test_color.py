import numpy as np
import pytest
from videos import PQ, X265, frame_of, make_video, numbered

from data.imaging.decode import ImageFault
from data.records import Box
from data.video.color import read_color_info, read_peak_nits, to_rgb
from data.video.decode import VideoReader
from data.video.tonemap import to_sdr

MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""Number of H.273 to the weights of red and blue in luma."""
SIDE = 32
WHOLE = Box(0, 0, SIDE, SIDE)


def to_yuv420(rgb: np.ndarray, matrix: int, is_full: bool, depth: int) -> list[np.ndarray]:
    """Convert RGB, 0 to 1, 3 x rows x columns, to 4:2:0 planes by the formulas of BT.601, BT.709 and BT.2020."""
    red, blue = MATRICES[matrix]
    luma = red * rgb[0] + (1 - red - blue) * rgb[1] + blue * rgb[2]
    chroma = [(rgb[2] - luma) / (2 - 2 * blue), (rgb[0] - luma) / (2 - 2 * red)]
    unit, top = 1 << (depth - 8), (1 << depth) - 1
    planes = [luma * top] if is_full else [(219 * luma + 16) * unit]
    planes += [c[::2, ::2] * (top if is_full else 224 * unit) + 128 * unit for c in chroma]
    return [np.round(plane).astype(np.uint8 if depth == 8 else "<u2") for plane in planes]


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("is_full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("depth", [8, 10])
def test_every_matrix_range_and_bit_depth_converts_exactly(matrix, is_full, depth):
    for color in np.random.default_rng(matrix).uniform(0.05, 0.95, (5, 3)):
        rgb = np.broadcast_to(color[:, None, None], (3, SIDE, SIDE))
        frame = frame_of(to_yuv420(rgb, matrix, is_full, depth), "yuv420p" if depth == 8 else "yuv420p10le")
        frame.colorspace, frame.color_range = matrix, 2 if is_full else 1
        # Rounding luma and chroma to code values may move a channel by 2 levels, in 10 bits by half of one.
        tolerance = 2.0 if depth == 8 else 1.0
        assert np.abs(to_rgb(frame, WHOLE) - 255 * color).max() <= tolerance


def test_unspecified_colors_get_the_default_for_size_and_transfer():
    small, large = (frame_of([np.zeros(s, np.uint8) for s in sizes], "yuv420p") for sizes in (
        [(480, 640), (240, 320), (240, 320)], [(720, 1280), (360, 640), (360, 640)]
    ))  # fmt: skip
    assert read_color_info(small).matrix == "bt601" and read_color_info(large).matrix == "bt709"
    assert not read_color_info(small).is_full_range and read_color_info(small).chroma_location == "left"
    large.color_trc = 16
    assert (
        read_color_info(large).matrix == "bt2020"
        and read_color_info(large).is_bt2020
        and read_color_info(large).chroma_location == "topleft"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("colorspace", 14), ("colorspace", 10), ("color_trc", 8), ("color_trc", 17)]
)
def test_unsupported_colors_are_rejected(name, value):
    frame = frame_of([np.zeros((32, 32), np.uint8)] + 2 * [np.zeros((16, 16), np.uint8)], "yuv420p")
    setattr(frame, name, value)
    with pytest.raises(ImageFault, match=f"{value} of H.273"):
        to_rgb(frame, WHOLE)


def test_left_chroma_location_is_respected():
    """A ramp of red chroma, sampled at every second luma column (left siting), comes out without a shift."""
    ramp = np.linspace(60, 200, SIDE // 2).round()
    planes = [np.full((SIDE, SIDE), 120), np.full((SIDE // 2, SIDE // 2), 128), np.tile(ramp, (SIDE // 2, 1))]
    frame = frame_of([plane.astype(np.uint8) for plane in planes], "yuv420p")
    frame.colorspace, frame.color_range = 1, 1
    chroma = np.interp(np.arange(SIDE) / 2, np.arange(SIDE // 2), ramp)
    expected = (255 / 219 * (120 - 16) + 255 / 224 * 1.5748 * (chroma - 128)).clip(0, 255)
    found = to_rgb(frame, WHOLE)[SIDE // 2, :, 0]
    assert np.abs(found - expected)[4:-4].max() < 1.5


def test_hdr10_is_tone_mapped_from_its_stated_peak(tmp_path):
    """Mastered at 600 cd/m², MaxCLL 870: the smaller one counts."""
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(6000000,50)"
    options = {
        "x265-params": f"{X265}:crf=4:hdr10=1:repeat-headers=1:master-display={display}:max-cll=870,300"
    }
    path = make_video(
        tmp_path / "a.mkv", lambda _: np.full((64, 64, 3), (150, 120, 90), np.uint8), 2,
        codec="libx265", pixels="yuv420p10le", options=options, colors=PQ,
    )  # fmt: skip
    frame, _ = next(VideoReader(path).decode_from(0))
    assert read_peak_nits(frame) == 600
    # The input was converted with BT.601 or BT.709 coefficients; here it is read back as BT.2020 code values.
    red, blue = MATRICES[9]
    luma, cb, cr = (np.frombuffer(plane, "<u2")[:16].mean() / 4 for plane in frame.planes)
    luma, cb, cr = (luma - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    code = np.array([luma + 2 * (1 - red) * cr, 0, luma + 2 * (1 - blue) * cb])
    code[1] = (luma - red * code[0] - blue * code[2]) / (1 - red - blue)
    found = to_rgb(frame, Box(8, 8, 8, 8)).mean(axis=(0, 1))
    assert np.abs(found - 255 * to_sdr(code, "smpte2084", 600.0)).max() < 1.5


def test_a_box_is_cut_after_chroma_interpolation(tmp_path):
    path = make_video(tmp_path / "a.mkv", numbered, 1)
    frame, _ = next(VideoReader(path).decode_from(0))
    whole = to_rgb(frame, Box(0, 0, 180, 320))
    assert np.array_equal(to_rgb(frame, Box(11, 21, 50, 60)), whole[11:61, 21:81])
