"""Send a large file to S3 part by part: a part that fails is sent again, and not the whole file."""

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.publish.faults import LostUploadError

_MAX_PARTS = 10_000
"""S3 takes no more for one file."""
_TRIES = 3


class Call(Protocol):
    """Does one request about the file, with retries; returns S3's reply."""

    def __call__(self, method: str, size_bytes: int = 0, **options: Any) -> Any:
        """Do the request `method` of S3, with its options; `size_bytes` are sent."""


def send_parts(call: Call, local: Path, size_bytes: int, part_bytes: int) -> None:
    """Send a file, one part after the other, as many files are sent at once already.

    Several parts at once would need that many times the memory, and those on their way when one fails would arrive
    after the upload was given up, where S3 keeps and charges them.

    Args:
        call: does the requests.
        local: the file.
        size_bytes: its size.
        part_bytes: size of a part, unless they would be too many.

    Raises:
        LostUploadError: S3 forgot the upload again and again.
    """
    part_bytes = max(part_bytes, -(-size_bytes // _MAX_PARTS))
    for tried in range(1, _TRIES + 1):
        try:
            _send_once(call, local, part_bytes)
            return
        except LostUploadError:
            if tried == _TRIES:
                raise


def _send_once(call: Call, local: Path, part_bytes: int) -> None:
    upload: dict[str, Any] = {"UploadId": call("create_multipart_upload")["UploadId"]}
    try:
        parts: list[dict[str, Any]] = []
        with open(local, "rb") as file:
            while content := file.read(part_bytes):
                number = len(parts) + 1
                reply = call("upload_part", len(content), PartNumber=number, Body=content, **upload)
                parts.append({"PartNumber": number, "ETag": reply["ETag"]})
        _complete(call, parts, upload)
    except Exception:
        with contextlib.suppress(Exception):  # what went wrong first counts
            call("abort_multipart_upload", **upload)
        raise


def _complete(call: Call, parts: list[dict[str, Any]], upload: dict[str, Any]) -> None:
    """Let S3 join the parts; that it knows no such upload is well if it has joined them, and its reply was lost."""
    try:
        call("complete_multipart_upload", MultipartUpload={"Parts": parts}, **upload)
    except LostUploadError as error:
        try:
            found = call("head_object")["ETag"].strip('"')
        except FileNotFoundError:
            raise error from None
        if found != _joined_etag([one["ETag"] for one in parts]):
            raise


def _joined_etag(etags: Sequence[str]) -> str:
    """Return the ETag of a file that was sent in parts: the MD5 of their MD5s, and their number.

    Of encrypted files it is another; then they are sent again.
    """
    try:
        digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in etags)
    except ValueError:
        return ""
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}"
