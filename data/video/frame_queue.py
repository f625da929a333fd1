"""Hold back decoded frames that an error of the decoder may still concern."""

from av.video.frame import VideoFrame

from data.imaging.decode import ImageFault
from data.records import RejectionReason
from data.video.pyav import require_pts

END_OF_TIME = 1 << 63
"""After all presentation times."""


class FrameQueue:
    """Decoded frames, held back while an earlier packet has an error that its own frame may still disprove."""

    def __init__(self) -> None:
        self.tolerated_packets = 0
        """How many packets from the keyframe on may have such errors; later errors are raised at once."""
        self.first_pts: int | None = None
        """The keyframe's, if the packets of frames that show before it cannot be known beforehand."""
        self._last_pts = -END_OF_TIME
        self._errors: dict[int | None, str] = {}
        self._frames: list[tuple[VideoFrame, str]] = []

    def is_leading(self, frame: VideoFrame) -> bool:
        """Return whether a frame shows before the keyframe, and so refers to frames that were not decoded."""
        if self.first_pts is None:
            return False
        if self._last_pts == -END_OF_TIME and frame.pts != self.first_pts:
            return True
        if frame.pts == self.first_pts:
            self._errors.clear()
        return False

    def add_error(self, pts: int | None, error: str, count: int) -> None:
        """Note the error of packet number `count`; raise it at once if it is not tolerated."""
        self._errors[pts] = error
        if count > self.tolerated_packets or pts is None:
            self.raise_errors_before(END_OF_TIME)

    def add_frame(self, frame: VideoFrame, digest: str) -> None:
        """Add a decoded frame. It disproves the error of its own packet.

        Raises:
            ImageFault: it came out after a frame that shows later, so the container's times are wrong (AVI has none).
        """
        pts = require_pts(frame)
        if pts < self._last_pts and self.first_pts is None:
            raise ImageFault(RejectionReason.UNSUPPORTED, "its container stores no presentation times")
        self._last_pts = pts
        self._frames.append((frame, digest))
        self._errors.pop(pts, None)
        self.raise_errors_before(pts)

    def raise_errors_before(self, pts: int) -> None:
        """Raise the error of a frame that should have come out before a time.

        Raises:
            ImageFault: there is one.
        """
        for error_pts, error in self._errors.items():
            if error_pts is None or error_pts < pts:
                raise ImageFault(RejectionReason.UNREADABLE, f"decoding: {error}")

    def pop_frames(self) -> list[tuple[VideoFrame, str]]:
        """Remove and return all frames; none while an error is open."""
        if self._errors:
            return []
        frames, self._frames = self._frames, []
        return frames
