import shutil
from fractions import Fraction

import av
import numpy as np
import pytest
from videos import make_video, numbered

from data.records import RejectionReason
from data.video import demux
from data.video.demux import VideoFault, open_video, read_frame_table


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("videos") / "video.mkv")


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "avi", "mov"])
def test_every_frame_has_its_time_in_any_container(suffix, tmp_path):
    codec = {"codec": "mpeg4", "options": {"bf": "2", "g": "48"}} if suffix == "avi" else {}
    table = read_frame_table(make_video(tmp_path / f"video.{suffix}", **codec))
    assert len(table.pts) == 240 and len(table.keyframe_pts) in (5, 6)
    seconds = [table.seconds(time) for time in table.pts]
    assert np.allclose(seconds, np.arange(240) / 24, atol=0.001)
    assert table.truncation == ""


def test_a_copy_has_the_same_digest_and_another_video_a_different_one(video, tmp_path):
    table = read_frame_table(video)
    assert table.codec == "h264" and table.time_base == Fraction(1, 1000)
    copy = shutil.copy(video, tmp_path / "copy.mkv")
    assert read_frame_table(copy).digest == table.digest
    assert read_frame_table(make_video(tmp_path / "other.mkv", frames=239)).digest != table.digest


def test_a_truncated_video_says_where_it_ends(video, tmp_path):
    content = video.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(content[: len(content) * 6 // 10])
    table = read_frame_table(cut)
    assert 96 < len(table.pts) < 200
    assert f"the last frame is at {table.seconds(table.pts[-1]):.2f} s of 10.00 s" in table.truncation
    whole = read_frame_table(video)
    assert np.array_equal(table.pts, whole.pts[: len(table.pts)]) or len(table.pts) > 140


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", RejectionReason.UNREADABLE),
        (b"no video at all " * 100, RejectionReason.UNREADABLE),
        (b"#EXTM3U\n#EXTINF:1,\nvideo.mkv\n#EXT-X-ENDLIST\n", RejectionReason.UNREADABLE),
        (b"ffconcat version 1.0\nfile video.mkv\n", RejectionReason.UNREADABLE),
    ],
    ids=["empty", "text", "playlist", "script"],
)
def test_files_that_are_not_videos_are_rejected_and_open_no_other_file(content, reason, video, tmp_path):
    shutil.copy(video, tmp_path / "video.mkv")
    path = tmp_path / "odd.mkv"
    path.write_bytes(content)
    with pytest.raises(VideoFault) as fault:
        read_frame_table(path)
    assert fault.value.reason is reason


def test_an_mp4_without_its_index_is_rejected_with_a_hint(tmp_path):
    path = make_video(tmp_path / "video.mp4", frames=48)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(VideoFault, match="its index .* is missing") as fault:
        read_frame_table(path)
    assert "again" in fault.value.hint


def test_audio_alone_is_rejected(tmp_path):
    import av

    with av.open(str(tmp_path / "sound.mkv"), "w") as sound:
        stream = sound.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        sound.mux(stream.encode(frame))
    with pytest.raises(VideoFault, match="no video stream") as fault:
        read_frame_table(tmp_path / "sound.mkv")
    assert fault.value.reason is RejectionReason.UNSUPPORTED


def test_interlaced_videos_are_rejected_with_a_hint(tmp_path):
    path = make_video(tmp_path / "video.mkv", frames=24, options={"x264-params": "tff=1"})
    with pytest.raises(VideoFault, match="interlaced") as fault:
        read_frame_table(path)
    assert fault.value.reason is RejectionReason.UNSUPPORTED and "bwdif" in fault.value.hint


def test_images_above_the_maximum_size_are_never_decoded(video, monkeypatch):
    monkeypatch.setattr(demux, "LARGEST_PX", 180 * 320 - 1)
    with pytest.raises(VideoFault, match="320x180") as fault:
        read_frame_table(video)
    assert fault.value.reason is RejectionReason.TOO_LARGE


def test_progress_reports_the_share_read(video):
    notes = []
    read_frame_table(video, lambda done, total, note="": notes.append(note))
    assert notes and notes[0].startswith("reading video.mkv: ")
    assert numbered(3).shape == (180, 320, 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><title>404</title>", "an HTML page"),
        (b"PK\3\4" + bytes(99), "a zip"),
    ],
)
def test_what_is_no_video_is_named(content, words, tmp_path):
    (tmp_path / "video.mp4").write_bytes(content)
    with pytest.raises(VideoFault, match=f"it contains no video: it is {words}") as fault:
        open_video(tmp_path / "video.mp4")
    assert fault.value.reason is RejectionReason.UNREADABLE and fault.value.hint


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "avi"])
def test_a_header_without_frames_is_rejected(suffix, tmp_path):
    """FFmpeg leaves such a file where it stops at the first packet."""
    path = tmp_path / f"video.{suffix}"
    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 180, 320, "yuv420p"
        video.start_encoding()
    with pytest.raises(VideoFault):
        read_frame_table(path)
