"""How long work tells how far it is: a callable, so that pipeline/ and sr/ know nothing of terminals."""

from typing import Protocol


class Progress(Protocol):
    """Called with what is done so far; cheap enough to call for every item, from any thread."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report.

        Args:
            done: units finished, 0 to `total`.
            total: units in all; 0 when it is not known.
            note: a few words to show beside the bar.
        """


def silent(done: int, total: int, note: str = "") -> None:
    """Be a `Progress` that tells nobody."""
