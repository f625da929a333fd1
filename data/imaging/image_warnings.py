"""Collect what decoders notice about images that they take all the same: no pixel is lost, but something else is.

A warning goes to the caller that collects them, however deep the decoder that gives it:

    >>> with collect_warnings() as found:
    ...     pixels = decode(content)
    >>> found
    {<WarningReason.UNREADABLE_PROFILE: 'unreadable_profile'>: 'the profile is damaged; the colors count as sRGB'}
"""

import contextlib
import contextvars
from collections.abc import Iterator

from data.records import WarningReason

_found: contextvars.ContextVar[dict[WarningReason, str] | None] = contextvars.ContextVar(
    "_found", default=None
)


@contextlib.contextmanager
def collect_warnings() -> Iterator[dict[WarningReason, str]]:
    """Collect the warnings of what is decoded in the block, in this thread: what was found, by reason."""
    found: dict[WarningReason, str] = {}
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


def warn(reason: WarningReason, detail: str) -> None:
    """Give a warning about the image that is being decoded. The first one of each reason is kept.

    Args:
        reason: the reason for the report.
        detail: what was found and what was done about it, as text.
    """
    found = _found.get()
    if found is not None:
        found.setdefault(reason, detail)
