"""Videos as a source: one file, or all videos below a folder. Sampled frames are the images, scenes the groups."""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.catalog.spec import VIDEO_SUFFIXES
from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.file_identity import size_and_second
from data.hashing import canonical_json, sha256_bytes
from data.imaging.decode import SUFFIXES, ImageFault
from data.progress import Progress, silent
from data.records import Box, Rejection, RejectionReason, SourceEntry
from data.sources.base import Source
from data.video.color import to_rgb
from data.video.decode import ThreadLocalReaders, VideoReader
from data.video.demux import DEINTERLACE_HINT, KEEP_FRAMES_HINT, VideoFault, read_frame_table
from data.video.frame_order import restore_order
from data.video.inspect_frames import inspect_frames
from data.video.interlacing import look_at_fields
from data.video.pyav import require_pts
from data.video.sample import plan_frames
from data.video.sampling_settings import FrameSamplingSettings
from data.video.select_frames import FrameLocator, check_video, select_frames

Image = npt.NDArray[np.uint8]


class VideoSource(Source):
    """The frames of a video, or of all videos below a folder, in the order of their paths and times.

    Args:
        path: a video, or a folder; links in it to files are followed.
        settings: how densely frames are sampled.

    Raises:
        UserError: the path does not exist, or the settings are invalid.
    """

    def __init__(self, path: Path, settings: FrameSamplingSettings) -> None:
        settings.check()
        if not path.exists():
            raise UserError(f"{path} does not exist", "Give the path of a video or of a folder of videos")
        self.settings = settings
        self.root = path if path.is_dir() else path.parent
        self._name = "" if path.is_dir() else path.name
        self._readers = ThreadLocalReaders()

    def fingerprint(self) -> dict[str, Any]:
        """Return a hash of the files' paths, sizes and modification times, and the settings."""
        listing = []
        for name in self._list_files():
            listing.append([printable_name(name), *_size_and_time(self.root / name)])
        digest = sha256_bytes(canonical_json(listing))
        return {"kind": "video", "listing": digest, "settings": dataclasses.asdict(self.settings)}

    def _list_files(self) -> list[str]:
        """Return the paths of all files that are not hidden, sorted, and of unreadable folders, with "/" at the end."""
        if self._name:
            return [self._name]
        found: list[str] = []

        def add_unreadable(error: OSError) -> None:
            raise_if_exhausted(error)
            found.append(Path(error.filename).relative_to(self.root).as_posix() + "/")

        for directory, folders, files in os.walk(self.root, onerror=add_unreadable):
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths = [Path(directory, name) for name in files if not name.startswith(".")]
            found += [path.relative_to(self.root).as_posix() for path in paths]
        return sorted(found)

    def scan(self, threads: int = 1, progress: Progress = silent) -> Iterator[SourceEntry | Rejection]:
        """Yield an entry for each selected frame, and a rejection for everything else.

        Each video is read once from beginning to end, and decoded around its planned frames, `threads` runs at a time.

        Raises:
            UserError: the source is a single video, and it cannot be used.
        """
        for name in self._list_files():
            path = self.root / name
            printable = printable_name(name)
            # Path's own methods raise where a folder is closed; these do not.
            is_link = os.path.islink(path)  # noqa: PTH114
            if name.endswith("/"):
                yield Rejection(
                    printable[:-1], "index", RejectionReason.UNREADABLE, "a folder that can't be read"
                )
            elif is_link and not os.path.isfile(path):  # noqa: PTH113
                detail = "a link, but not to a file that can be read"
                yield Rejection(printable, "index", RejectionReason.LINK, detail)
            elif not name.lower().endswith(VIDEO_SUFFIXES):
                kind = "an image" if name.lower().endswith(SUFFIXES) else "not a video"
                detail = f"{kind}; the videos of this folder are read, images:FOLDER as the dataset reads its images"
                yield Rejection(printable, "index", RejectionReason.NOT_AN_IMAGE, detail)
            elif name != printable:
                detail = "its name is not UTF-8; rename it"
                yield Rejection(printable, "index", RejectionReason.UNSUPPORTED, detail)
            else:
                yield from self._scan_video(path, name, threads, progress)

    def _scan_video(
        self, path: Path, name: str, threads: int, progress: Progress
    ) -> Iterator[SourceEntry | Rejection]:
        try:
            table = restore_order(path, read_frame_table(path, progress))
            self.notes += tuple(f"{name}: {text}" for text in table.timeline.describe())
            planned = plan_frames(table, self.settings)
            frames = inspect_frames(
                path, table, planned, threads, lambda done: progress(done, len(planned), path.name)
            )
            check_video(frames)
        except VideoFault as fault:
            detail, hint = fault.detail, fault.hint
            if hint == DEINTERLACE_HINT:
                fields = look_at_fields(path)
                detail = f"{detail}, {fields.describe()}"
                hint = KEEP_FRAMES_HINT if fields.is_whole else hint
            if self._name:
                raise UserError(f"{path} cannot be used: {detail}", hint) from None
            yield Rejection(name, "index", fault.reason, f"{detail}. {hint}")
            return
        yield from select_frames(frames, table, name)
        if table.untimed:
            detail = f"{table.untimed} frames have no presentation time; they are left out"
            yield Rejection(name, "index", RejectionReason.UNREADABLE, detail)
        if table.truncation:
            yield Rejection(name, "index", RejectionReason.TRUNCATED, table.truncation)

    def read(self, entries: Iterable[SourceEntry]) -> Iterator[tuple[SourceEntry, Image | Rejection]]:
        """Yield each entry with its pixels; consecutive entries with the same keyframe are decoded together.

        Safe to call from several threads: each opens the video for itself.

        Raises:
            UserError: the video is not the one that was indexed.
        """
        located = ((entry, FrameLocator.parse(entry.locator)) for entry in entries)
        for (video, _, _), run in itertools.groupby(
            located, key=lambda pair: (pair[1].video, pair[1].keyframe_pts, pair[1].keyframe_byte)
        ):
            path = self.root / video
            try:
                reader = self._readers.get(path)
            except VideoFault as fault:
                raise _changed_error(path, fault.detail) from None
            yield from _read_run(reader, list(run))


def _read_run(
    reader: VideoReader, run: list[tuple[SourceEntry, FrameLocator]]
) -> Iterator[tuple[SourceEntry, Image]]:
    """Decode entries with the same keyframe once, whatever their order.

    Each was decoded when the video was indexed, so a failure is not a Rejection: the video has changed.
    """
    last = max(locator.pts for _, locator in run) + reader.out_of_order_by
    start = run[0][1]
    by_pts = {locator.pts: (entry, locator) for entry, locator in run}
    images: dict[int, Image] = {}
    fault = ImageFault(RejectionReason.UNREADABLE, "the video ends before it")
    try:
        for frame, digest in reader.decode_from(start.keyframe_pts, start.keyframe_byte):
            pts = require_pts(frame)
            if pts in by_pts and pts not in images:
                entry, locator = by_pts[pts]
                if digest != entry.sha256:
                    raise _changed_error(reader.path, f"{entry.id} has other bytes")
                images[pts] = to_rgb(frame, Box(locator.top, locator.left, entry.height, entry.width))
            if pts >= last:
                break
    except ImageFault as found:
        fault = found
    for entry, locator in run:
        if locator.pts not in images:
            raise _changed_error(reader.path, f"{entry.id}: {fault.detail}")
        yield entry, images[locator.pts]


def _changed_error(path: Path, detail: str) -> UserError:
    return UserError(
        f"{path} is not the video that was indexed ({detail})",
        "Put the old file back, or run again: a changed source is indexed again",
    )


def _size_and_time(path: Path) -> list[int]:
    """Return a file's size and modification time; nothing if it can't be examined, which `scan` explains."""
    try:
        status = path.stat()
    except OSError:
        return []
    return size_and_second(status)


def printable_name(name: str) -> str:
    """Return a file's name with bytes that are not UTF-8 escaped."""
    return os.fsencode(name).decode(errors="backslashreplace")
