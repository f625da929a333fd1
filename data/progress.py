"""The callback by which long work reports its progress, so that pipeline/ and sr/ need not know about terminals."""

from typing import Protocol


class Progress(Protocol):
    """A callback for progress. Cheap enough to call for every item, from any thread."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report progress.

        Args:
            done: finished units, 0 to `total`.
            total: all units; 0 if the number is not known.
            note: a few words to show beside the progress bar.
        """


def silent(done: int, total: int, note: str = "") -> None:
    """Ignore the progress: the default where no caller wants to see it."""
