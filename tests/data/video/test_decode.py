import numpy as np
import pytest
from videos import X265, counter, make_video

from data.imaging.decode import ImageFault
from data.records import Box
from data.video.color import to_rgb
from data.video.decode import ThreadLocalReaders, VideoReader
from data.video.demux import read_frame_table

WHOLE = Box(0, 0, 180, 320)
KINDS = {
    "b-frames.mkv": {"options": {"bf": "3", "g": "48"}},
    "b-frames.mp4": {"options": {"bf": "3", "g": "48"}},
    "b-frames.ts": {"options": {"bf": "3", "g": "48"}},
    "open-gop.mkv": {"options": {"x264-params": "bframes=3:keyint=48:open-gop=1:scenecut=0"}},
    "open-gop-hevc.mkv": {"codec": "libx265", "options": {"x265-params": f"{X265}:keyint=48:open-gop=1"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2", "g": "12", "qscale": "3"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "48", "deadline": "realtime", "cpu-used": "8"}},
}


@pytest.mark.parametrize("name", KINDS)
def test_decoding_from_every_keyframe_gives_each_frame_its_own_time(name, tmp_path):
    table = read_frame_table(make_video(tmp_path / name, frames=120, **KINDS[name]))
    assert len(table.keyframe_pts) > 1
    reader = VideoReader(tmp_path / name)
    numbers = {int(time): number for number, time in enumerate(table.pts)}
    digests: dict[int, str] = {}
    for key in [*table.keyframe_pts[::-1], *table.keyframe_pts]:
        later = table.keyframe_pts[table.keyframe_pts > key]
        end = later[0] if len(later) else table.pts[-1] + 1
        seen = 0
        for frame, digest in reader.decode_from(int(key)):
            if frame.pts >= end:
                break
            assert counter(to_rgb(frame, WHOLE)) == numbers[frame.pts]
            assert digests.setdefault(frame.pts, digest) == digest
            seen += 1
        assert seen == ((table.pts >= key) & (table.pts < end)).sum()
    assert len(set(digests.values())) == len(digests) == 120


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_damage_is_a_fault_and_never_a_wrong_image(suffix, tmp_path):
    """Overwrite bytes in the middle of H.264: frames that still come out are unchanged."""
    path = make_video(tmp_path / f"video.{suffix}", options={"bf": "3", "g": "24"})
    table, whole = read_frame_table(path), path.read_bytes()
    good = {time: image for time, image, _ in _all_frames(path, table.keyframe_pts)}
    for place in (0.3, 0.5, 0.7):
        content = bytearray(whole)
        start = int(len(whole) * place)
        content[start : start + 2000] = bytes(byte ^ 0x5A for byte in content[start : start + 2000])
        path.write_bytes(content)
        found = list(_all_frames(path, read_frame_table(path).keyframe_pts))
        assert 100 < len(found) < 240
        for time, image, _ in found:
            assert np.array_equal(image, good[time])


def _all_frames(path, keys):
    reader = VideoReader(path)
    for key, end in zip(keys, [*keys[1:], 1 << 60], strict=True):
        try:
            for frame, digest in reader.decode_from(int(key)):
                if frame.pts >= end:
                    break
                yield frame.pts, to_rgb(frame, WHOLE), digest
        except ImageFault:
            continue


def test_a_missing_keyframe_is_a_fault(tmp_path):
    path = make_video(tmp_path / "video.mkv", frames=60)
    with pytest.raises(ImageFault, match="keyframe is not where"):
        next(VideoReader(path).decode_from(777))


def test_a_run_from_one_keyframe_has_a_maximum_length(tmp_path, monkeypatch):
    path = make_video(tmp_path / "video.mkv", frames=60, options={"g": "1000"})
    monkeypatch.setattr("data.video.decode.MAX_PACKETS_FROM_KEYFRAME", 30)
    reader, seen = VideoReader(path), 0
    with pytest.raises(ImageFault, match="more than 30"):
        for _ in reader.decode_from(0):
            seen += 1
    assert 0 < seen <= 31


def test_each_thread_keeps_only_its_last_video_open(tmp_path):
    one, other = (make_video(tmp_path / name, frames=10) for name in ("1.mkv", "2.mkv"))
    readers = ThreadLocalReaders()
    first = readers.get(one)
    assert readers.get(one) is first
    assert readers.get(other) is not first and readers.get(other).path == other
