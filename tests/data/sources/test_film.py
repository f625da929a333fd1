"""Films as a source: what the frames are, when they show, what is thrown out, and what a person is told."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from films import PQ, TOP, X265, counter, make_film, numbered

from data.errors import UserError
from data.films.choose import Place
from data.films.container import read_table
from data.films.plan import plan_frames
from data.films.settings import FilmSettings
from data.records import Reason, Rejection, SourceEntry
from data.sources.film import FilmSource

DENSE = FilmSettings(least_spacing_s=0.3, usual_spacing_s=0.6, greatest_spacing_s=1.0)
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
        "colours": PQ,
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
def test_frames_come_out_at_the_planned_times_exactly(name, tmp_path):
    path = make_film(tmp_path / name, **KINDS[name])
    source = FilmSource(path, DENSE)
    entries, rejections = split(source.scan(threads=2))
    assert len(entries) >= 10 and not rejections
    table = read_table(path)
    planned = plan_frames(table, DENSE)
    assert [Place.parse(one.locator).time for one in entries] == [frame.time for frame in planned]
    numbers = {int(time): number for number, time in enumerate(table.times)}
    ticks = KINDS[name].get("times", range(240))
    for entry, picture in source.read(entries):
        assert picture.shape == (180, 320, 3) and picture.dtype == np.uint8
        place = Place.parse(entry.locator)
        assert counter(picture) == numbers[place.time]
        assert table.seconds(place.time) == pytest.approx(ticks[numbers[place.time]] / 24, abs=0.001)
    gaps_s = np.diff([table.seconds(frame.time) for frame in planned])
    assert gaps_s.min() >= DENSE.least_spacing_s and gaps_s.max() < DENSE.greatest_spacing_s + 9 / 24


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Six shots of 2 s each, no two alike."""
    path = tmp_path_factory.mktemp("films") / "film.mkv"
    return make_film(path, lambda number: numbered(number, shot=number // 48), 288)


def test_order_threads_and_neighbours_change_nothing(film):
    source = FilmSource(film, DENSE)
    entries, _ = split(source.scan(threads=1))
    assert split(FilmSource(film, DENSE).scan(threads=3))[0] == entries
    together = {entry.id: picture for entry, picture in source.read(entries)}
    backwards = {entry.id: picture for entry, picture in source.read(entries[::-1])}
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda entry: next(iter(source.read([entry])))[1], entries))
    for entry, picture in zip(entries, alone, strict=True):
        assert np.array_equal(together[entry.id], picture) and np.array_equal(backwards[entry.id], picture)
    assert len({entry.sha256 for entry in entries}) == len(entries)


def test_scenes_are_the_groups(film):
    entries, _ = split(FilmSource(film, DENSE).scan())
    shots = [Place.parse(entry.locator).time // 2000 for entry in entries]
    groups = {(shot, entry.group) for shot, entry in zip(shots, entries, strict=True)}
    assert len(groups) == len({group for _, group in groups}) == 6
    first = entries[0]
    assert first.id.startswith("film.mkv@0:00:0") and first.group == "film.mkv/scene-0000"
    assert (first.format, first.lossy, first.bytes) == ("h264", True, 0)


def test_a_copy_under_another_name_is_the_same_frames(film, tmp_path):
    copy = shutil.copy(film, tmp_path / "copy.mkv")
    (entries, _), (copied, _) = (split(FilmSource(path, DENSE).scan()) for path in (film, copy))
    assert [one.sha256 for one in copied] == [one.sha256 for one in entries]


def test_a_broken_tail_ends_the_list_and_not_the_run(film, tmp_path):
    content = film.read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(content[: len(content) * 6 // 10])
    source = FilmSource(path, DENSE)
    entries, rejections = split(source.scan())
    assert len(entries) > 5
    assert [one.reason for one in rejections] == [Reason.TRUNCATED]
    assert rejections[0].id == "cut.mkv" and "of 12.00 s" in rejections[0].detail
    times = read_table(film).times
    for entry, picture in source.read(entries):
        assert counter(picture) == np.searchsorted(times, Place.parse(entry.locator).time)


def test_a_film_that_was_cut_short_since_is_refused(film, tmp_path):
    path = Path(shutil.copy(film, tmp_path / "film.mkv"))
    source = FilmSource(path, DENSE)
    entries, _ = split(source.scan())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    read = FilmSource(path, DENSE).read(entries)
    assert isinstance(next(read)[1], np.ndarray)
    with pytest.raises(
        UserError, match="the film that was indexed, got film.mkv@0:00:[01].*film.mkv; put the"
    ):
        list(read)


def test_a_film_that_changed_is_refused(film, tmp_path):
    path = Path(shutil.copy(film, tmp_path / "film.mkv"))
    source = FilmSource(path, DENSE)
    entries, _ = split(source.scan())
    before = source.fingerprint()
    make_film(path, lambda number: numbered(number + 1), 288)
    assert source.fingerprint() != before
    with pytest.raises(UserError, match="other bytes at film.mkv@"):
        list(FilmSource(path, DENSE).read(entries))
    path.write_bytes(b"")
    with pytest.raises(UserError, match="the film that was indexed.*film.mkv"):
        list(FilmSource(path, DENSE).read(entries))


def letterboxed(number: int, top: int, bottom: int, left: int = 0, right: int = 0) -> np.ndarray:
    whole = np.zeros((240, 416, 3), np.uint8)
    height, width = 240 - top - bottom, 416 - left - right
    whole[top : 240 - bottom, left : 416 - right] = numbered(number, height, width, shot=number // 48)
    return whole


@pytest.mark.parametrize("bars", [(32, 32, 0, 0), (26, 30, 0, 0), (0, 0, 52, 44), (18, 18, 36, 36)])
def test_letterbox_is_found_to_the_pixel(bars, tmp_path):
    path = make_film(tmp_path / "film.mkv", lambda number: letterboxed(number, *bars), 120)
    source = FilmSource(path, DENSE)
    entries, _ = split(source.scan())
    top, bottom, left, right = bars
    assert {(one.height, one.width) for one in entries} == {(240 - top - bottom, 416 - left - right)}
    for entry, picture in source.read(entries):
        place = Place.parse(entry.locator)
        assert (place.top, place.left) == (top, left)
        assert picture.shape[:2] == (entry.height, entry.width)
        assert counter(picture) == np.searchsorted(read_table(path).times, place.time)


def test_a_film_that_changes_its_format_is_cut_as_it_changes(tmp_path):
    path = make_film(tmp_path / "film.mkv", lambda n: letterboxed(n, *((32, 32) if n < 96 else (0, 0))), 192)
    entries, _ = split(FilmSource(path, DENSE).scan())
    heights = [(entry.height, Place.parse(entry.locator).time < 4000) for entry in entries]
    assert set(heights) == {(176, True), (240, False)}


def test_fades_stills_and_black_are_thrown_out_with_their_reasons(tmp_path):
    """2 s each: a shot, its fade to black, black, a still, a shot."""

    def draw(number: int) -> np.ndarray:
        second = number / 24
        if second < 4:
            return (numbered(min(number, 48), shot=0) * min(1, (4 - second) / 2)).astype(np.uint8)
        if second < 6:
            return np.zeros((180, 320, 3), np.uint8)
        return numbered(1000, shot=1) if second < 8 else numbered(number, shot=2)

    settings = FilmSettings(0.3, 0.35, 0.4)
    entries, rejections = split(FilmSource(make_film(tmp_path / "film.mkv", draw), settings).scan())
    seconds = {one.id: float(one.id.rpartition(":")[2]) for one in [*entries, *rejections]}
    reasons = {seconds[one.id]: one.reason for one in rejections}
    assert all(2 < second < 4.1 for second, reason in reasons.items() if reason is Reason.FADE)
    assert sum(reason is Reason.FADE for reason in reasons.values()) >= 3
    assert all(3.5 < second < 6 for second, reason in reasons.items() if reason is Reason.FLAT)
    assert all(reasons[second] is Reason.FLAT for second in seconds.values() if 4.1 < second < 5.9)
    stills = [seconds[one.id] for one in entries if 6 <= seconds[one.id] < 8]
    assert len(stills) == 1
    repeated = [one for one in rejections if one.reason is Reason.NEAR_DUPLICATE]
    assert len(repeated) >= 4 and "nearly identical to film.mkv@0:00:06" in repeated[0].detail
    assert all(6 < seconds[one.id] < 8 for one in repeated)
    assert sum(seconds[one.id] >= 8 for one in entries) >= 4


def test_one_film_that_cannot_be_used_is_told_in_words(tmp_path):
    path = make_film(tmp_path / "film.mkv", frames=48, options={"x264-params": "tff=1"})
    with pytest.raises(UserError, match="interlaced.*film.mkv; deinterlace it first, for example: ffmpeg"):
        list(FilmSource(path, DENSE).scan())
    avi = make_film(tmp_path / "film.avi", frames=96)
    with pytest.raises(UserError, match="does not say when frames show.*film.avi; encode it anew"):
        list(FilmSource(avi, DENSE).scan())
    path.write_bytes(b"no film")
    with pytest.raises(UserError, match="no film: Invalid data.*film.mkv"):
        list(FilmSource(path, DENSE).scan())
    with pytest.raises(UserError, match="nothing.*gone.mkv"):
        FilmSource(tmp_path / "gone.mkv", DENSE)


def test_in_a_folder_each_film_counts_and_nothing_vanishes(film, tmp_path):
    root = tmp_path / "films"
    (root / "more").mkdir(parents=True)
    shutil.copy(film, root / "more" / "one.mkv")
    make_film(root / "two.mp4", lambda number: numbered(number, shot=9), 96)
    make_film(root / "old.mkv", frames=48, options={"x264-params": "bff=1"})
    (root / "empty.mkv").write_bytes(b"")
    (root / "cover.jpg").write_bytes(b"a cover")
    (root / "link.mkv").symlink_to(film)
    (root / ".hidden.mkv").write_bytes(b"")
    (root / "not\udcff.mkv").write_bytes(b"")
    source = FilmSource(root, DENSE)
    entries, rejections = split(source.scan(threads=2))
    assert {one.group.partition("/scene")[0] for one in entries} == {"more/one.mkv", "two.mp4"}
    assert {one.id: one.reason for one in rejections} == {
        "cover.jpg": Reason.NOT_AN_IMAGE,
        "empty.mkv": Reason.UNREADABLE,
        "link.mkv": Reason.LINK,
        "not\\xff.mkv": Reason.UNSUPPORTED,
        "old.mkv": Reason.UNSUPPORTED,
    }
    assert sum(isinstance(picture, np.ndarray) for _, picture in source.read(entries)) == len(entries)
    assert source.fingerprint() == FilmSource(root, DENSE).fingerprint()
    assert source.fingerprint() != FilmSource(root, FilmSettings()).fingerprint()


def test_progress_counts_the_planned_frames(film):
    told = []
    entries, rejections = split(
        FilmSource(film, DENSE).scan(2, lambda done, total, note="": told.append((done, total, note)))
    )
    whole = len(entries) + len(rejections)
    assert told[-1] == (whole, whole, "film.mkv")
    assert TOP < 180
