"""A local file server that misbehaves on request and counts what it serves."""

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class FileServer:
    """Serves files by path. A test changes its attributes; changes apply from the next request on.

    Args:
        files: content by path, e.g. {"/a.zip": b"…"}.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.ranges = True
        """Whether range requests are supported."""
        self.validators = True
        """Whether an ETag is sent."""
        self.nodes: list[str] = []
        """ETags that the replies carry in turn, as the nodes of a CDN that do not agree; empty for one ETag."""
        self.statuses: list[int] = []
        """Status codes to send for the next requests, instead of the file."""
        self.headers: dict[str, str] = {}
        """Headers to add or to replace; an empty value removes one."""
        self.cut: Callable[[int], int | None] = lambda size: None
        """Takes the size of a body; returns after how many bytes to close the connection, or None."""
        self.seen: list[tuple[str, str]] = []
        """Path and Range header of each request."""
        self.authorization: list[str] = []
        """Authorization header of each request; empty if it has none."""
        self.served = {path: np.zeros(len(content), np.uint8) for path, content in files.items()}
        """How often each byte of each file was sent."""
        self.stall = threading.Event()
        """While set, the connection stays open after the bytes that `cut` allows."""
        self.released = threading.Event()
        """Ends the stalls."""
        self.sending: Callable[[int], None] = lambda count: None
        """Called with the size of each piece after it is sent."""
        self.url = ""
        """http://127.0.0.1:PORT."""

    @property
    def twice(self) -> float:
        """The bytes that were sent again, each time counted, as a share of all bytes of the files."""
        again = sum(
            int(np.maximum(counts, 1).sum(dtype=np.int64) - len(counts)) for counts in self.served.values()
        )
        return again / sum(map(len, self.files.values()))


def _tag(content: bytes) -> str:
    return f'"{abs(hash(content)):x}"'


class _Handler(http.server.BaseHTTPRequestHandler):
    files: FileServer

    def do_GET(self) -> None:
        files, path = self.files, self.path.removeprefix("http://unreachable.example")
        wanted = self.headers.get("Range", "whole")
        files.seen.append((self.path, wanted))
        files.authorization.append(self.headers.get("Authorization", ""))
        if files.statuses:
            code = files.statuses.pop(0)
            self.send_response(code)
            for name, value in files.headers.items():
                self.send_header(name, value)
            self.end_headers()
            return
        if path not in files.files:
            self.send_error(404)
            return
        content = files.files[path]
        start, end = 0, len(content)
        tag = files.nodes[len(files.seen) % len(files.nodes)] if files.nodes else _tag(content)
        same = self.headers.get("If-Range", tag) == tag
        headers = {}
        if files.ranges and wanted != "whole" and same:
            first, last = wanted.removeprefix("bytes=").split("-")
            start, end = int(first), min(int(last) + 1, end)
            if start >= len(content):
                self.send_error(416)
                return
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
            self.send_response(206)
        else:
            self.send_response(200)
        headers["Content-Length"] = str(end - start)
        if files.validators:
            headers["ETag"] = tag
        for name, value in (headers | files.headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self._send(path, content, start, end)

    def do_CONNECT(self) -> None:
        """Refuse to be the proxy of an https URL."""
        self.files.seen.append((self.path, "connect"))
        self.send_error(self.files.statuses.pop(0) if self.files.statuses else 407)

    def _send(self, path: str, content: bytes, start: int, end: int) -> None:
        files = self.files
        stop = files.cut(end - start)
        stop = end if stop is None else min(end, start + stop)
        counts = files.served.get(path)
        for at in range(start, stop, 1 << 14):
            piece = content[at : min(at + (1 << 14), stop)]
            self.wfile.write(piece)
            if counts is not None:
                counts[at : at + len(piece)] += 1
            files.sending(len(piece))
        if files.stall.is_set() and stop < end:
            files.released.wait(20)
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: these tests are about clients that hang up."""


@contextmanager
def serve_files(
    files: dict[str, bytes], context: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[FileServer]:
    """Run a server on a local port (0: a free one), with TLS if there is a context."""
    state = FileServer(files)
    server = _Quiet(("127.0.0.1", port), type("Handler", (_Handler,), {"files": state}))
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
