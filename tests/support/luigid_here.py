"""Luigi's own scheduler in the test's process, called as over HTTP: through JSON."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from luigi.scheduler import Scheduler


class LuigidHere:
    """Answers calls like luigid; stands in for the HTTP client of Luigi's scheduler client."""

    raises = (ConnectionError,)

    def __init__(self, **options: Any) -> None:
        self.options = {"prune_on_get_work": True, "retry_delay": 0, "retry_count": 5} | options
        self.restart()
        self.calls: list[str] = []
        self.failing = 0
        """How many of the next calls find no luigid."""
        self.before: dict[str, Callable[[], None]] = {}
        """Called once, before the next call of this name."""

    def restart(self) -> None:
        """Start anew, without a state."""
        self.scheduler = Scheduler(**self.options)

    def fetch(self, url: str, body: dict[str, str], timeout: float) -> str:
        """Answer a call."""
        name = url.rpartition("/")[2]
        self.calls.append(name)
        if self.failing:
            self.failing -= 1
            raise ConnectionError("connection refused")
        self.before.pop(name, lambda: None)()
        return json.dumps({"response": getattr(self.scheduler, name)(**json.loads(body["data"]))})

    def close(self) -> None:
        """Do nothing; Luigi's own HTTP client has this."""


def serve(luigid: LuigidHere) -> ThreadingHTTPServer:
    """Serve it over HTTP on a free port of this machine, until `shutdown` is called."""
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            with turn:
                answer = luigid.fetch(self.path, {"data": parse_qs(body)["data"][0]}, 0).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
