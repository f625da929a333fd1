"""Decode a film from one keyframe on: the same frames wherever the container's own search happens to land.

A frame is vouched for by the hash of exactly the stored bytes that decide its pixels: the packets from its keyframe
to its own, in decoding order. Damage anywhere in them is an ImageFault; pixels that a decoder made up are never given.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

from av.packet import Packet
from av.video.frame import VideoFrame

from data.films.container import FAULTS, explain, open_film
from data.images import ImageFault
from data.records import Reason

LONGEST_RUN = 1000
"""Packets that are decoded from one keyframe at the most: 40 s; encoders place keyframes every 1 to 10 s."""
_BACK_S = (0, 3, 30)
"""How far before the keyframe a search is sent until it lands at or before it; then all is read from the beginning."""


class FilmReader:
    """An open film, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container, self._stream = open_film(path)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames_from(self, key: int) -> Iterator[tuple[VideoFrame, str]]:
        """Decode from a keyframe on, in the order of presentation.

        Args:
            key: the keyframe's presentation time, in the stream's units.

        Yields:
            A frame (its `pts` is its presentation time), and the sha256 of what it was decoded from.

        Raises:
            ImageFault: the keyframe is not found, something in the run is damaged, or the run is too long.
        """
        digest = hashlib.sha256(self._stream.codec_context.extradata or b"")
        digests: dict[int, str] = {}
        for count, packet in enumerate(self._packets_from(key)):
            if count > LONGEST_RUN:
                detail = f"more than {LONGEST_RUN} frames after its keyframe"
                raise ImageFault(Reason.UNSUPPORTED, detail)
            if packet.size:
                digest.update(packet)
                digests[packet.pts] = digest.hexdigest()
            try:
                frames = packet.decode()
            except FAULTS as error:
                raise ImageFault(Reason.UNREADABLE, f"decoding: {explain(error)}") from None
            for frame in frames:
                if frame.is_corrupt or frame.pts not in digests:
                    raise ImageFault(Reason.UNREADABLE, "decoding: damaged")
                yield frame, digests.pop(frame.pts)

    def _packets_from(self, key: int) -> Iterator[Packet]:
        """Yield the keyframe's packet and all that follow, less the frames that show before it.

        Those lean on what came before the keyframe, and nothing that shows after it leans on them.
        """
        began = False
        for packet in self._search(key):
            if packet.pts == key and packet.is_keyframe:
                began = True
            if packet.is_corrupt:
                raise ImageFault(Reason.UNREADABLE, "a damaged packet")
            if began and (packet.size == 0 or (packet.pts is not None and packet.pts >= key)):
                yield packet

    def _search(self, key: int) -> Iterator[Packet]:
        """Yield packets, beginning with the keyframe's.

        Raises:
            ImageFault: it is not there.
        """
        for back_s in (*_BACK_S, None):
            packets = self._land(key, back_s)
            for packet in packets:
                if packet.is_keyframe and packet.pts is not None and packet.pts >= key:
                    if packet.pts == key:
                        yield packet
                        yield from packets
                        return
                    break
        raise ImageFault(Reason.UNREADABLE, "its keyframe is not where the index says")

    def _land(self, key: int, back_s: int | None) -> Iterator[Packet]:
        """Yield packets from about `back_s` before the keyframe on; from the beginning for None."""
        if back_s is None:
            self._container.close()
            self._container, self._stream = open_film(self.path)
        else:
            target = key - round(back_s / self._stream.time_base)
            try:
                self._container.seek(target, stream=self._stream)
            except FAULTS:
                return
        with contextlib.suppress(*FAULTS):
            yield from self._container.demux(self._stream)


class Readers:
    """One open film for each thread: the one that the thread used last."""

    def __init__(self) -> None:
        self._local = threading.local()

    def of(self, path: Path) -> FilmReader:
        """Return this thread's reader of a film.

        Raises:
            FilmFault: it cannot be opened.
        """
        reader = getattr(self._local, "reader", None)
        if reader is None or reader.path != path:
            if reader is not None:
                reader.close()
            self._local.reader = None
            self._local.reader = FilmReader(path)
        return self._local.reader
