"""A folder at a URL, through fsspec: list, read, write and remove its files, with retries.

s3, gs, az and hf need a package of their own, which is loaded here and nowhere else.
"""

import dataclasses
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.redacted_urls import redact
from pipeline.publish import faults
from pipeline.publish.s3_parts import send_parts
from pipeline.publish.settings import RemoteSettings

PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "hf": "huggingface_hub",
    "file": "fsspec",
}
"""The package that each kind of URL needs."""
_EXTRA = "'super-resolution-factory[remote]' (in a clone: pip install -c constraints.txt -e '.[remote]')"
_SLOWEST_BYTES_PER_S = 50_000
"""A request that is slower than this on the whole counts as broken, even where it is never silent."""
_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "blob_id", "mtime")
"""Fields by which file systems tell one version of a file from another."""


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file at a URL, as a listing describes it."""

    bytes: int
    tag: str
    """Differs between versions of the file; empty where the server names none."""


class RemoteFolder:
    """A folder at a URL. Its methods may be called from any thread.

    Args:
        url: s3://bucket/folder, gs://…, az://…, hf://datasets/USER/REPOSITORY, or file:///folder.
        settings: how to reach it.

    Raises:
        UserError: the URL is of another kind or has credentials in it, or a package is missing.
    """

    def __init__(self, url: str, settings: RemoteSettings) -> None:
        scheme = check_url(url)
        import fsspec

        self.url, self.settings = url.rstrip("/"), settings
        options = _storage_options(scheme, settings)
        self._fs, self._root = fsspec.core.url_to_fs(self.url, **options)
        self._note: faults.Note = lambda text: None

    def show_waits(self, note: faults.Note) -> None:
        """Have `note` called with the reason whenever a request is tried again."""
        self._note = note

    def place(self, path: str) -> str:
        """Return the URL of a file, as it may be shown."""
        return redact(f"{self.url}/{path}")

    def list_files(self, folder: str) -> dict[str, RemoteFile]:
        """Return the files below a folder, by their path below it."""
        root = self._path(folder)
        try:
            found = self._request(folder, "find", root, detail=True)
        except FileNotFoundError:
            return {}
        prefix = root.strip("/") + "/"
        return {
            name.strip("/").removeprefix(prefix): _describe_file(info)
            for name, info in found.items()
            if info.get("type") == "file" and name.strip("/").startswith(prefix)
        }

    def list_folders(self, folder: str) -> list[str]:
        """Return the names of the folders right below a folder."""
        try:
            found = self._request(folder, "ls", self._path(folder), detail=True)
        except FileNotFoundError:
            return []
        return sorted(
            info["name"].rstrip("/").rpartition("/")[2] for info in found if info["type"] == "directory"
        )

    def exists(self, path: str) -> bool:
        """Return whether there is a file."""
        return self.find_file(path) is not None

    def find_file(self, path: str) -> RemoteFile | None:
        """Return what the server says of a file; None if there is none."""
        try:
            return _describe_file(self._request(path, "info", self._path(path)))
        except FileNotFoundError:
            return None

    def read(self, path: str) -> bytes | None:
        """Return the content of a small file; None if there is none."""
        try:
            return bytes(self._request(path, "cat_file", self._path(path)))
        except FileNotFoundError:
            return None

    def read_block(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` to before `end`; fewer only where the file is shorter.

        Raises:
            FileNotFoundError: there is no such file.
        """
        options = {"start": start, "end": end}
        return bytes(self._request(path, "cat_file", self._path(path), size_bytes=end - start, **options))

    def write(self, path: str, content: bytes) -> None:
        """Write a small file."""
        arguments = self._path(path), content
        self._store(path, lambda: self._request(path, "pipe_file", *arguments, size_bytes=len(content)))

    def send(self, local: Path, path: str) -> RemoteFile:
        """Copy a local file there; return what the server then says of it.

        Raises:
            UserError: it has another size there.
        """
        size_bytes = local.stat().st_size
        if self.url.startswith("s3://") and size_bytes >= 2 * self.settings.part_bytes:
            self._store(path, lambda: self._send_parts(local, path, size_bytes))
        else:
            arguments = str(local), self._path(path)
            self._store(path, lambda: self._request(path, "put_file", *arguments, size_bytes=size_bytes))
        found = self.find_file(path)
        if found is None or found.bytes != size_bytes:
            there = "is missing" if found is None else f"has {found.bytes} bytes"
            message = f"{self.place(path)} {there} after {size_bytes} bytes were sent"
            raise UserError(message, "Run the same command again")
        return found

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        try:
            self._request(path, "rm_file", self._path(path))
        except FileNotFoundError:
            return

    def _send_parts(self, local: Path, path: str, size_bytes: int) -> None:
        bucket, key, _ = self._fs.split_path(self._path(path))

        def call(method: str, size_bytes: int = 0, **options: Any) -> Any:
            options |= {"Bucket": bucket, "Key": key}
            return self._request(path, "call_s3", method, size_bytes=size_bytes, **options)

        send_parts(call, local, size_bytes, self.settings.part_bytes)

    def _store(self, path: str, write: Callable[[], object]) -> None:
        """Write a file; say so where there is no such bucket."""
        try:
            if self.url.startswith("file://"):
                self._request(path, "makedirs", self._path(path).rpartition("/")[0], exist_ok=True)
            write()
        except faults.LostUploadError as error:
            message = f"{self.place(path)} was sent, but the server forgot it: {error}"
            raise UserError(message, "Run the same command again") from None
        except FileNotFoundError as error:
            message = f"{self.place(path)} can't be written: {error}"
            raise UserError(message, "Make the bucket first, or check the URL") from None

    def _path(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}".rstrip("/")

    def _request(self, path: str, method: str, *arguments: Any, size_bytes: int = 0, **options: Any) -> Any:
        """Do a request with retries and a time limit."""
        limit_s = 10 * self.settings.timeout_s + size_bytes / _SLOWEST_BYTES_PER_S

        def request() -> Any:
            self._fs.invalidate_cache()
            if not self._fs.async_impl:
                return getattr(self._fs, method)(*arguments, **options)
            from fsspec.asyn import sync

            return sync(
                self._fs.loop, getattr(self._fs, f"_{method}"), *arguments, timeout=limit_s, **options
            )

        return faults.retry(self.place(path), request, self.settings.pause, self._note)


def check_url(url: str) -> str:
    """Check a URL and that its package is installed; return its scheme.

    Raises:
        UserError: the URL is of another kind or has credentials in it, or the package is missing.
    """
    scheme = check_form(url)
    for package in dict.fromkeys(("fsspec", PACKAGES[scheme])):
        if importlib.util.find_spec(package) is None:
            of_extra = package in ("fsspec", "s3fs")
            hint = f"Run: pip install {_EXTRA if of_extra else package}"
            raise UserError(
                f"URLs that begin with {scheme}:// need {package}, which is not installed here", hint
            )
    return scheme


def check_form(url: str) -> str:
    """Check a URL by itself; return its scheme.

    Raises:
        UserError: the URL is of another kind or has credentials in it.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in PACKAGES or not rest.strip("/"):
        kinds = ", ".join(f"{one}://" for one in PACKAGES)
        raise UserError(f"{redact(url)!r} is no URL of a store", f"Give one that begins with {kinds}")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if (at and (scheme != "abfs" or ":" in user)) or re.search(r"[?#]", rest):
        message = f"The URL {redact(url)} has a user, a password or a query in it"
        raise UserError(message, "Leave them out; docs/how-to/publish.md says where credentials belong")
    return scheme


def _storage_options(scheme: str, settings: RemoteSettings) -> dict[str, Any]:
    """Return what fsspec takes for this kind of URL. Listings are never cached: other hosts write there, too."""
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if scheme == "s3":
        timeouts = {"connect_timeout": settings.timeout_s, "read_timeout": settings.timeout_s}
        # fsspec and this package retry themselves; a third layer would multiply the waits.
        options["config_kwargs"] = {**timeouts, "retries": {"max_attempts": 0}, "max_pool_connections": 64}
        if settings.endpoint_url:
            options["client_kwargs"] = {"endpoint_url": settings.endpoint_url}
    return options


def _describe_file(info: dict[str, Any]) -> RemoteFile:
    tag = next((str(info[name]) for name in _TAGS if info.get(name)), "")
    return RemoteFile(int(info["size"] or 0), tag)
