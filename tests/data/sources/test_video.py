"""Videos as a source: which frames it gives and when, which it rejects and why, and what its errors say."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from videos import PQ, TOP, X265, counter, make_video, numbered, woven

from data.errors import UserError
from data.records import Rejection, RejectionReason, SourceEntry
from data.sources.video import VideoSource
from data.video.demux import read_frame_table
from data.video.sample import plan_frames
from data.video.sampling_settings import FrameSamplingSettings
from data.video.select_frames import FrameLocator

DENSE = FrameSamplingSettings(min_spacing_s=0.3, typical_spacing_s=0.6, max_spacing_s=1.0)
VARIABLE = [number + number // 3 + 7 * (number // 50) for number in range(240)]
"""Ticks of 1/24 s: every third frame is held twice as long, every fiftieth eight times."""
KINDS = {
    "h264-b-frames.mkv": {"options": {"bf": "3", "g": "48"}},
    "h264-b-frames.mp4": {"options": {"bf": "3", "g": "48"}},
    "h264-b-frames.m2ts": {"options": {"bf": "3", "g": "48"}},
    "h264-open-gop.mkv": {"options": {"x264-params": "bframes=3:keyint=48:open-gop=1:scenecut=0"}},
    "h264-one-keyframe.mkv": {"options": {"bf": "3", "g": "1000"}},
    "hevc-10-bit-pq.mkv": {
        "codec": "libx265",
        "pixels": "yuv420p10le",
        "options": {"x265-params": f"{X265}:keyint=48:bframes=4", "preset": "ultrafast"},
        "colors": PQ,
    },
    "variable-rate.mkv": {"times": VARIABLE},
    "variable-rate.mp4": {"times": VARIABLE},
}


def split(found) -> tuple[list[SourceEntry], list[Rejection]]:
    found = list(found)
    return (
        [one for one in found if isinstance(one, SourceEntry)],
        [one for one in found if isinstance(one, Rejection)],
    )


@pytest.mark.parametrize("name", KINDS)
def test_frames_are_exactly_those_of_the_planned_times(name, tmp_path):
    path = make_video(tmp_path / name, **KINDS[name])
    source = VideoSource(path, DENSE)
    entries, rejections = split(source.scan(threads=2))
    assert len(entries) >= 10 and not rejections
    table = read_frame_table(path)
    planned = plan_frames(table, DENSE)
    assert [FrameLocator.parse(one.locator).pts for one in entries] == [frame.pts for frame in planned]
    numbers = {int(time): number for number, time in enumerate(table.pts)}
    ticks = KINDS[name].get("times", range(240))
    for entry, image in source.read(entries):
        assert image.shape == (180, 320, 3) and image.dtype == np.uint8
        locator = FrameLocator.parse(entry.locator)
        assert counter(image) == numbers[locator.pts]
        assert table.seconds(locator.pts) == pytest.approx(ticks[numbers[locator.pts]] / 24, abs=0.001)
    gaps_s = np.diff([table.seconds(frame.pts) for frame in planned])
    assert gaps_s.min() >= DENSE.min_spacing_s and gaps_s.max() < DENSE.max_spacing_s + 9 / 24


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Six shots of 2 s each, no two alike."""
    path = tmp_path_factory.mktemp("videos") / "video.mkv"
    return make_video(path, lambda number: numbered(number, shot=number // 48), 288)


def test_order_threads_and_neighbors_do_not_change_frames(video):
    source = VideoSource(video, DENSE)
    entries, _ = split(source.scan(threads=1))
    assert split(VideoSource(video, DENSE).scan(threads=3))[0] == entries
    together = {entry.id: image for entry, image in source.read(entries)}
    backwards = {entry.id: image for entry, image in source.read(entries[::-1])}
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda entry: next(iter(source.read([entry])))[1], entries))
    for entry, image in zip(entries, alone, strict=True):
        assert np.array_equal(together[entry.id], image) and np.array_equal(backwards[entry.id], image)
    assert len({entry.sha256 for entry in entries}) == len(entries)


def test_scenes_are_the_groups(video):
    entries, _ = split(VideoSource(video, DENSE).scan())
    shots = [FrameLocator.parse(entry.locator).pts // 2000 for entry in entries]
    groups = {(shot, entry.group) for shot, entry in zip(shots, entries, strict=True)}
    assert len(groups) == len({group for _, group in groups}) == 6
    first = entries[0]
    assert first.id.startswith("video.mkv@0:00:0") and first.group == "video.mkv/scene-0000"
    assert (first.format, first.lossy, first.bytes) == ("h264", True, 0)


def test_a_copy_under_another_name_gives_the_same_frames(video, tmp_path):
    copy = shutil.copy(video, tmp_path / "copy.mkv")
    (entries, _), (copied, _) = (split(VideoSource(path, DENSE).scan()) for path in (video, copy))
    assert [one.sha256 for one in copied] == [one.sha256 for one in entries]


def test_a_truncated_video_gives_the_frames_that_it_has(video, tmp_path):
    content = video.read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(content[: len(content) * 6 // 10])
    source = VideoSource(path, DENSE)
    entries, rejections = split(source.scan())
    assert len(entries) > 5
    assert [one.reason for one in rejections] == [RejectionReason.TRUNCATED]
    assert rejections[0].id == "cut.mkv" and "of 12.00 s" in rejections[0].detail
    times = read_frame_table(video).pts
    for entry, image in source.read(entries):
        assert counter(image) == np.searchsorted(times, FrameLocator.parse(entry.locator).pts)


def test_a_video_truncated_after_indexing_is_an_error(video, tmp_path):
    path = Path(shutil.copy(video, tmp_path / "video.mkv"))
    source = VideoSource(path, DENSE)
    entries, _ = split(source.scan())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    read = VideoSource(path, DENSE).read(entries)
    assert isinstance(next(read)[1], np.ndarray)
    with pytest.raises(
        UserError, match="video.mkv is not the video that was indexed .video.mkv@0:00:[01].* Put the"
    ):
        list(read)


def test_a_video_changed_after_indexing_is_an_error(video, tmp_path):
    path = Path(shutil.copy(video, tmp_path / "video.mkv"))
    source = VideoSource(path, DENSE)
    entries, _ = split(source.scan())
    before = source.fingerprint()
    make_video(path, lambda number: numbered(number + 1), 288)
    assert source.fingerprint() != before
    with pytest.raises(UserError, match="video.mkv@.* has other bytes"):
        list(VideoSource(path, DENSE).read(entries))
    path.write_bytes(b"")
    with pytest.raises(UserError, match="video.mkv is not the video that was indexed"):
        list(VideoSource(path, DENSE).read(entries))


def letterboxed(number: int, top: int, bottom: int, left: int = 0, right: int = 0) -> np.ndarray:
    whole = np.zeros((240, 416, 3), np.uint8)
    height, width = 240 - top - bottom, 416 - left - right
    whole[top : 240 - bottom, left : 416 - right] = numbered(number, height, width, shot=number // 48)
    return whole


@pytest.mark.parametrize("bars", [(32, 32, 0, 0), (26, 30, 0, 0), (0, 0, 52, 44), (18, 18, 36, 36)])
def test_black_bars_are_cut_off_to_the_pixel(bars, tmp_path):
    path = make_video(tmp_path / "video.mkv", lambda number: letterboxed(number, *bars), 120)
    source = VideoSource(path, DENSE)
    entries, _ = split(source.scan())
    top, bottom, left, right = bars
    assert {(one.height, one.width) for one in entries} == {(240 - top - bottom, 416 - left - right)}
    for entry, image in source.read(entries):
        locator = FrameLocator.parse(entry.locator)
        assert (locator.top, locator.left) == (top, left)
        assert image.shape[:2] == (entry.height, entry.width)
        assert counter(image) == np.searchsorted(read_frame_table(path).pts, locator.pts)


def test_a_change_of_aspect_ratio_changes_the_cut(tmp_path):
    path = make_video(
        tmp_path / "video.mkv", lambda n: letterboxed(n, *((32, 32) if n < 96 else (0, 0))), 192
    )
    entries, _ = split(VideoSource(path, DENSE).scan())
    heights = [(entry.height, FrameLocator.parse(entry.locator).pts < 4000) for entry in entries]
    assert set(heights) == {(176, True), (240, False)}


def test_fades_stills_and_black_frames_are_rejected_with_their_reasons(tmp_path):
    """2 s each: a shot, its fade to black, black, a still, a shot."""

    def draw(number: int) -> np.ndarray:
        second = number / 24
        if second < 4:
            return (numbered(min(number, 48), shot=0) * min(1, (4 - second) / 2)).astype(np.uint8)
        if second < 6:
            return np.zeros((180, 320, 3), np.uint8)
        return numbered(1000, shot=1) if second < 8 else numbered(number, shot=2)

    settings = FrameSamplingSettings(0.3, 0.35, 0.4)
    entries, rejections = split(VideoSource(make_video(tmp_path / "video.mkv", draw), settings).scan())
    seconds = {one.id: float(one.id.rpartition(":")[2]) for one in [*entries, *rejections]}
    reasons = {seconds[one.id]: one.reason for one in rejections}
    assert all(2 < second < 4.1 for second, reason in reasons.items() if reason is RejectionReason.FADE)
    assert sum(reason is RejectionReason.FADE for reason in reasons.values()) >= 3
    assert all(3.5 < second < 6 for second, reason in reasons.items() if reason is RejectionReason.FLAT)
    assert all(reasons[second] is RejectionReason.FLAT for second in seconds.values() if 4.1 < second < 5.9)
    stills = [seconds[one.id] for one in entries if 6 <= seconds[one.id] < 8]
    assert len(stills) == 1
    repeated = [one for one in rejections if one.reason is RejectionReason.NEAR_DUPLICATE]
    assert len(repeated) >= 4 and "nearly identical to video.mkv@0:00:06" in repeated[0].detail
    assert all(6 < seconds[one.id] < 8 for one in repeated)
    assert sum(seconds[one.id] >= 8 for one in entries) >= 4


def test_a_single_video_that_cannot_be_used_is_an_error_with_a_hint(tmp_path):
    path = make_video(tmp_path / "video.mkv", woven, 48, options={"x264-params": "tff=1"})
    with pytest.raises(
        UserError,
        match="video.mkv cannot be used: .* interlaced, and .* Deinterlace it first, for example: ffmpeg",
    ):
        list(VideoSource(path, DENSE).scan())
    whole = make_video(tmp_path / "whole.mkv", frames=48, options={"x264-params": "tff=1"})
    with pytest.raises(UserError, match="but its frames look whole: .* ffmpeg -i IN -vf setfield=prog"):
        list(VideoSource(whole, DENSE).scan())
    unmarked = make_video(tmp_path / "unmarked.mkv", frames=48)  # what the command makes of it
    assert any(isinstance(one, SourceEntry) for one in VideoSource(unmarked, DENSE).scan())
    path.write_bytes(b"no video")
    with pytest.raises(UserError, match="video.mkv cannot be used: it contains no video: Invalid data"):
        list(VideoSource(path, DENSE).scan())
    with pytest.raises(UserError, match="gone.mkv does not exist"):
        VideoSource(tmp_path / "gone.mkv", DENSE)


def test_every_file_in_a_folder_is_scanned_or_rejected(video, tmp_path):
    root = tmp_path / "videos"
    (root / "more").mkdir(parents=True)
    shutil.copy(video, root / "more" / "one.mkv")
    make_video(root / "two.mp4", lambda number: numbered(number, shot=9), 96)
    make_video(root / "old.mkv", frames=48, options={"x264-params": "bff=1"})
    (root / "empty.mkv").write_bytes(b"")
    (root / "cover.jpg").write_bytes(b"a cover")
    (root / "link.mkv").symlink_to(shutil.copy(video, tmp_path / "elsewhere.mkv"))
    (root / "lost.mkv").symlink_to("nowhere.mkv")
    (root / ".hidden.mkv").write_bytes(b"")
    (root / "not\udcff.mkv").write_bytes(b"")
    source = VideoSource(root, DENSE)
    entries, rejections = split(source.scan(threads=2))
    assert {one.group.partition("/scene")[0] for one in entries} == {"link.mkv", "more/one.mkv", "two.mp4"}
    assert {one.id: one.reason for one in rejections} == {
        "cover.jpg": RejectionReason.NOT_AN_IMAGE,
        "empty.mkv": RejectionReason.UNREADABLE,
        "lost.mkv": RejectionReason.LINK,
        "not\\xff.mkv": RejectionReason.UNSUPPORTED,
        "old.mkv": RejectionReason.UNSUPPORTED,
    }
    assert sum(isinstance(image, np.ndarray) for _, image in source.read(entries)) == len(entries)
    assert source.fingerprint() == VideoSource(root, DENSE).fingerprint()
    assert source.fingerprint() != VideoSource(root, FrameSamplingSettings()).fingerprint()


def test_progress_counts_planned_frames(video):
    reports = []
    entries, rejections = split(
        VideoSource(video, DENSE).scan(2, lambda done, total, note="": reports.append((done, total, note)))
    )
    whole = len(entries) + len(rejections)
    assert reports[-1] == (whole, whole, "video.mkv")
    assert TOP < 180
