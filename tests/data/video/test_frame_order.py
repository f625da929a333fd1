from fractions import Fraction

import av
import pytest
from av.video.frame import ImageType
from videos import make_video, numbered, packed_video

from data.errors import UserError
from data.sources.video import VideoSource
from data.video.demux import VideoFault
from data.video.frame_order import refuse_untrue_times
from data.video.sampling_settings import VideoSettings


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("h264.avi", "libx264", {"bf": "0"}),
        ("mpeg4.avi", "mpeg4", {"bf": "0"}),
        ("mpeg4-b-frames.avi", "mpeg4", {"bf": "2"}),
        ("mjpeg.avi", "mjpeg", {"g": "1"}),
        ("h264-b-frames.mkv", "libx264", {"bf": "3"}),
        ("h264-b-frames.mp4", "libx264", {"bf": "3"}),
        ("h264-b-frames.ts", "libx264", {"bf": "3"}),
    ],
)
def test_videos_whose_frames_have_their_own_times_pass(name, codec, options, tmp_path):
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    refuse_untrue_times(make_video(tmp_path / name, frames=75, codec=codec, options=options, pixels=pixels))


def test_h264_in_avi_is_refused_however_late_its_b_frames_begin(tmp_path):
    path = tmp_path / "video.avi"
    with av.open(str(path), "w") as video:
        stream = video.add_stream(
            "libx264", rate=25, options={"bf": "3", "preset": "ultrafast", "b_strategy": "0"}
        )
        stream.height, stream.width, stream.pix_fmt = 180, 320, "yuv420p"
        for number in range(180):
            frame = av.VideoFrame.from_ndarray(numbered(number), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            frame.pict_type = ImageType.P if number < 150 else ImageType.NONE
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
    with pytest.raises(VideoFault, match="does not say when frames show.* at 6.[0-9]* s") as caught:
        refuse_untrue_times(path)
    assert "libx264" in caught.value.remedy and "unpack" not in caught.value.remedy


@pytest.mark.parametrize(
    ("make", "remedy"),
    [(make_video, "video.avi; encode it anew"), (packed_video, "video.avi; unpack it.*bsf:v")],
)
def test_crops_are_not_made_of_them(make, remedy, tmp_path):
    source = VideoSource(make(tmp_path / "video.avi", frames=75), VideoSettings())
    with pytest.raises(UserError, match=f"AVI, which does not say when frames show.*{remedy}"):
        list(source.scan())
