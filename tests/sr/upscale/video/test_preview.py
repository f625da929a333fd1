"""The preview shows frames of the video as a player does."""

from pathlib import Path

import numpy as np
import pytest
from odd_videos import make_odd_video
from PIL import Image
from videos import interlaced_video

from data.atomic_files import read_json
from data.errors import UserError
from sr.upscale.video.decode_frames import decode_frames
from sr.upscale.video.preview import _rotate, preview_video
from sr.upscale.video.probe import probe_video
from sr.upscale.video.settings import VideoUpscaleSettings


def halves(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        return np.split(np.asarray(image).astype(int), 2, axis=1)


def test_previews_are_evenly_spread_scaled_to_square_pixels_and_rotated(tmp_path):
    """The video has 4:3 pixels and is rotated by a quarter turn to the right."""
    source = make_odd_video(tmp_path / "in.mkv", 40)
    names = preview_video(source, tmp_path / "out", "bicubic", 2, VideoUpscaleSettings())
    record = read_json(tmp_path / "out" / "preview.json")
    assert names == record["images"] == sorted(one.name for one in (tmp_path / "out").glob("*.png"))
    video = probe_video(source)
    frames = {
        float((one.pts - video.first_pts) * video.time_base): one for one in decode_frames(video, False, [])
    }
    for name, share in zip(names, (0.25, 0.75), strict=True):
        at_s = float(name.removesuffix("s.png"))
        assert abs(at_s - share * max(frames)) < 0.05
        left, right = halves(tmp_path / "out" / name)
        assert left.shape == (round(160 * 2 * 4 / 3), 96 * 2, 3) and np.array_equal(left, right)
        wanted = np.rot90(frames[at_s].to_ndarray(format="rgb24"), -1)
        wanted = np.asarray(Image.fromarray(wanted).resize((192, 427), Image.Resampling.BICUBIC))
        assert np.abs(left - wanted).mean() < 4
    with pytest.raises(UserError, match="--preview"):
        preview_video(source, tmp_path / "out", "bicubic", 0, VideoUpscaleSettings())


def test_previews_of_interlaced_videos_are_deinterlaced(tmp_path):
    source = interlaced_video(tmp_path / "in.mkv")
    (name,) = preview_video(source, tmp_path / "out", "bicubic", 1, VideoUpscaleSettings(deinterlace=True))
    video = probe_video(source, allow_interlaced=True)
    at = video.first_pts + round(float(name.removesuffix("s.png")) / video.time_base)
    whole = next(one for one in decode_frames(video, True, []) if abs(one.pts - at) <= 1)
    shown = halves(tmp_path / "out" / name)[0][::2, ::2, 0]
    assert np.abs(shown - whole.to_ndarray(format="rgb24")[..., 0]).mean() < 8
    assert np.abs(np.diff(shown, axis=0)).mean() < 1, "no combs"


@pytest.mark.parametrize(
    ("matrix", "corners"),
    [
        ((), [[1, 2], [3, 4]]),
        ((0, 1, 0, -1, 0), [[3, 1], [4, 2]]),
        ((-1, 0, 0, 0, -1), [[4, 3], [2, 1]]),
        ((0, -1, 0, 1, 0), [[2, 4], [1, 3]]),
        ((-1, 0, 0, 0, 1), [[2, 1], [4, 3]]),
    ],
    ids=["not", "right", "half", "left", "mirrored"],
)
def test_display_matrices_rotate_and_mirror(matrix, corners):
    image = np.array([[1, 2], [3, 4]])[..., None]
    assert np.array_equal(_rotate(image, tuple(one << 16 for one in matrix))[..., 0], corners)
