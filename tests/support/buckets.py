"""A real S3 server (moto's) with a proxy before it that misbehaves on request and counts what it passes on."""

import http.client
import http.server
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BUCKET = "shelf"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE12",
    "AWS_SECRET_ACCESS_KEY": "verysecretvalueofatest",
    "AWS_DEFAULT_REGION": "us-east-1",
}
Fault = str | None
"""403, 500, 503, NoSuchUpload: answered by the proxy. cut: the connection ends amid the body. silent: no answer."""


class FaultyProxy:
    """Passes requests on to a server.

    Args:
        port: of the server on this machine.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.fault: Callable[[str, str], Fault] = lambda method, path: None
        """Takes the method and the path of a request; returns what goes wrong with it."""
        self.seen: list[tuple[str, str]] = []
        """Method and path of each request."""
        self.sent: list[int] = []
        """Sizes of the bodies that were passed on to clients."""
        self.released = threading.Event()
        """Ends the silence."""
        self.url = ""
        """http://127.0.0.1:PORT."""

    def count(self, method: str, part: str) -> int:
        """Return how many requests had this method and this part in their path."""
        return sum(one == method and part in path for one, path in self.seen)


class _Handler(http.server.BaseHTTPRequestHandler):
    proxy: FaultyProxy
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        proxy = self.proxy
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy.seen.append((self.command, self.path))
        fault = proxy.fault(self.command, self.path)
        if fault == "silent":
            proxy.released.wait(20)
            self.close_connection = True
            return
        if fault == "NoSuchUpload":
            self._answer(404, {}, _NO_UPLOAD)
            return
        if fault and fault != "cut":
            code = "AccessDenied" if fault == "403" else "InternalError"
            self._answer(int(fault), {}, f"<Error><Code>{code}</Code></Error>".encode())
            return
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(content)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status >= 500 and "uploadId=" in self.path:
            self._answer(404, {}, _NO_UPLOAD)  # moto crashes where S3 says that an upload was given up
            return
        headers = {name: value for name, value in reply.getheaders() if name.lower() not in _HOP}
        connection.close()
        if self.command != "HEAD":
            headers["Content-Length"] = str(len(body))
        proxy.sent.append(len(body))
        self._answer(reply.status, headers, body[: len(body) // 2] if fault == "cut" else body)
        self.close_connection = self.close_connection or fault == "cut"

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in (headers or {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass


_NO_UPLOAD = b"<Error><Code>NoSuchUpload</Code><Message>The upload does not exist</Message></Error>"
_HOP = ("connection", "keep-alive", "transfer-encoding", "date", "server")


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: these tests are about connections that end early."""


@contextmanager
def serve_bucket() -> Iterator[FaultyProxy]:
    """Run an S3 server with one empty bucket, and a proxy before it; skip the test where moto is not installed."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # it prints moto's crashes, which clients see
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    proxy = FaultyProxy(server.get_host_and_port()[1])
    front = _Quiet(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    proxy.url = f"http://127.0.0.1:{front.server_port}"
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port)
    connection.request("POST", "/moto-api/reset")
    connection.getresponse().read()
    connection.request("PUT", f"/{BUCKET}", headers={"Host": f"127.0.0.1:{proxy.port}"})
    assert connection.getresponse().status == 200
    connection.close()
    try:
        yield proxy
    finally:
        proxy.released.set()
        front.shutdown()
        thread.join()
        front.server_close()
        server.stop()
