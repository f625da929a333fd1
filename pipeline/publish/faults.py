"""Faults of a remote store: which may pass and are tried again, and what is said of those that stay.

Libraries for S3, Google, Azure and Hugging Face raise errors of their own; what all of them share is sorted here. No
credentials get into a message: neither those of URLs nor the values of the environment that look like such.
"""

import os
import re
from collections.abc import Callable
from typing import TypeVar

from data.errors import UserError
from data.redacted_urls import redact
from pipeline.download.transfer import ATTEMPTS, backoff_s

R = TypeVar("R")
Note = Callable[[str], None]
"""Shows a few words while a request waits."""


class LostUploadError(FileNotFoundError):
    """S3 no longer knows the upload of a large file, perhaps as it has completed it, and its reply was lost."""


_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_BUGS = (AttributeError, ImportError, MemoryError, NameError, NotImplementedError, TypeError)
"""No server causes these: they are raised as they are."""
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|CONNECTION_STRING|(ACCESS|ACCOUNT|API)_KEY|SAS")
_SHORTEST_SECRET = 8
_REFUSED = re.compile(
    r"AccessDenied|Forbidden|InvalidAccessKeyId|SignatureDoesNotMatch|Unauthorized|NoCredentials"
    r"|Unable to locate credentials|ExpiredToken|Anonymous caller|default credentials",
    re.IGNORECASE,
)
_LONGEST_TEXT = 300


def describe(error: BaseException) -> str:
    """Return an error in words, on one line, without credentials."""
    text = " ".join(f"{type(error).__name__}: {error}".split()) if str(error) else type(error).__name__
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    text = redact(text)
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _is_lost_upload(error: BaseException) -> bool:
    reply = getattr(error.__cause__, "response", None) or {}
    return str(reply.get("Error", {}).get("Code")) == "NoSuchUpload"


def retry(place: str, request: Callable[[], R], pause: Callable[[float], None], note: Note) -> R:
    """Do a request, and again after a growing pause while its faults may pass.

    Args:
        place: the URL in question, without credentials.
        request: does it; must be safe to repeat.
        pause: waits for some seconds.
        note: called with the reason of the pause.

    Raises:
        FileNotFoundError: there is no such file, or LostUploadError: no such upload.
        UserError: the server refuses, or all attempts failed.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return request()
        except (*_BUGS, UserError):
            raise
        except Exception as error:
            if isinstance(error, _ABSENT):
                kind = LostUploadError if _is_lost_upload(error) else FileNotFoundError
                raise kind(describe(error)) from None
            if isinstance(error, PermissionError) or _REFUSED.search(f"{type(error).__name__} {error}"):
                hint = "Check the credentials in the environment, and the rights that they give"
                raise UserError(f"{place} refuses access: {describe(error)}", hint) from None
            if attempt == ATTEMPTS:
                message = f"{place} failed {ATTEMPTS} times in a row, last with {describe(error)}"
                raise UserError(message, "Run the same command again to go on from here") from None
            note(f"waiting to try again: {describe(error)}")
            pause(backoff_s(attempt))
    raise AssertionError("unreachable")
