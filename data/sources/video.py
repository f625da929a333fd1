"""Videos: one file, or all the videos below a folder. Frames at random intervals are the images, scenes the groups."""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data.catalog.catalog import VIDEO_SUFFIXES
from data.errors import UserError
from data.hashing import canonical_json, sha256_bytes
from data.imaging.decode import ImageFault
from data.progress import Progress, silent
from data.records import Box, Reason, Rejection, SourceEntry
from data.sources.base import Source
from data.video.color import to_rgb
from data.video.decode import Readers, VideoReader
from data.video.demux import VideoFault, read_table
from data.video.frame_order import refuse_untrue_times
from data.video.inspect_frames import look_at_frames
from data.video.sample import plan_frames
from data.video.sampling_settings import VideoSettings
from data.video.select_frames import Place, choose_frames, refuse_video


class VideoSource(Source):
    """The frames of a video, or of all videos below a folder, in the order of their paths and times.

    Args:
        path: a video, or a folder; links in it are not followed.
        settings: how far apart the frames are.
    """

    def __init__(self, path: Path, settings: VideoSettings) -> None:
        settings.check()
        if not path.exists():
            raise UserError("a video or a folder of videos", "nothing", str(path), "check the path")
        self.settings = settings
        self.root = path if path.is_dir() else path.parent
        self._name = "" if path.is_dir() else path.name
        self._readers = Readers()

    def fingerprint(self) -> dict[str, Any]:
        """Return a hash over the files' paths, sizes and modification times, and the settings."""
        listing = []
        for name in self._files():
            status = (self.root / name).lstat()
            listing.append([readable(name), status.st_size, status.st_mtime_ns])
        digest = sha256_bytes(canonical_json(listing))
        return {"kind": "video", "listing": digest, "settings": dataclasses.asdict(self.settings)}

    def _files(self) -> list[str]:
        """Return the paths of all files below the root, sorted; hidden ones are left out."""
        if self._name:
            return [self._name]
        found = []
        for directory, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths = [Path(directory, name) for name in files if not name.startswith(".")]
            found += [path.relative_to(self.root).as_posix() for path in paths]
        return sorted(found)

    def scan(self, threads: int = 1, progress: Progress = silent) -> Iterator[SourceEntry | Rejection]:
        """Yield the frames that are taken and, as rejections, all else.

        A video is read once from beginning to end, and decoded where its planned frames are, in `threads` places.

        Raises:
            UserError: the source is one video, and it cannot be used.
        """
        for name in self._files():
            path = self.root / name
            if path.is_symlink() and not self._name:
                yield Rejection(
                    readable(name), "index", Reason.LINK, "a symbolic link; links are not followed"
                )
            elif not name.lower().endswith(VIDEO_SUFFIXES):
                detail = "no video; images are read from a folder without videos"
                yield Rejection(readable(name), "index", Reason.NOT_AN_IMAGE, detail)
            elif name != readable(name):
                detail = "its name is no UTF-8; rename it"
                yield Rejection(readable(name), "index", Reason.UNSUPPORTED, detail)
            else:
                yield from self._scan_video(path, name, threads, progress)

    def _scan_video(
        self, path: Path, name: str, threads: int, progress: Progress
    ) -> Iterator[SourceEntry | Rejection]:
        try:
            table = read_table(path, progress)
            refuse_untrue_times(path)
            planned = plan_frames(table, self.settings)
            looks = look_at_frames(
                path, table, planned, threads, lambda done: progress(done, len(planned), path.name)
            )
            refuse_video(looks)
        except VideoFault as fault:
            if self._name:
                raise UserError("a progressive video", fault.detail, str(path), fault.remedy) from None
            yield Rejection(name, "index", fault.reason, f"{fault.detail}; {fault.remedy}")
            return
        yield from choose_frames(looks, table, name)
        if table.broken:
            yield Rejection(name, "index", Reason.TRUNCATED, table.broken)

    def read(self, entries: Iterable[SourceEntry]) -> Iterator[tuple[SourceEntry, np.ndarray | Rejection]]:
        """Yield each entry with its pixels; entries that follow each other from one keyframe are decoded together.

        Safe to call from several threads: each opens the video for itself.

        Raises:
            UserError: the video is not the one that was scanned.
        """
        placed = ((entry, Place.parse(entry.locator)) for entry in entries)
        for (video, key), run in itertools.groupby(placed, key=lambda pair: (pair[1].video, pair[1].key)):
            path = self.root / video
            try:
                reader = self._readers.of(path)
            except VideoFault as fault:
                raise _changed(path, fault.detail) from None
            yield from _read_run(reader, key, list(run))


def _read_run(
    reader: VideoReader, key: int, run: list[tuple[SourceEntry, Place]]
) -> Iterator[tuple[SourceEntry, np.ndarray]]:
    """Decode once for entries of one keyframe, whatever their order.

    Each was decoded when the video was indexed, so one that can't be is no Rejection: the video is another now.
    """
    last = max(place.time for _, place in run)
    by_time = {place.time: (entry, place) for entry, place in run}
    read: dict[int, np.ndarray] = {}
    fault = ImageFault(Reason.UNREADABLE, "the video ends before it")
    try:
        for frame, digest in reader.frames_from(key):
            time = frame.pts
            if time in by_time:
                entry, place = by_time[time]
                if digest != entry.sha256:
                    raise _changed(reader.path, f"other bytes at {entry.id}")
                box = Box(place.top, place.left, entry.height, entry.width)
                read[time] = to_rgb(frame, box)
            if time >= last:
                break
    except ImageFault as found:
        fault = found
    for entry, place in run:
        if place.time not in read:
            raise _changed(reader.path, f"{entry.id}: {fault.detail}")
        yield entry, read[place.time]


def _changed(path: Path, found: str) -> UserError:
    remedy = "put the old file back, or run again: a changed source is indexed anew"
    return UserError("the video that was indexed", found, str(path), remedy)


def readable(name: str) -> str:
    """Return a file's name with bytes that are no UTF-8 written out."""
    return os.fsencode(name).decode(errors="backslashreplace")
