"""Downloads against a server on this machine that can be told to misbehave."""

import hashlib
import http.server
import json
import threading
from contextlib import contextmanager

import pytest

from data.catalogue import DatasetSpec, RemoteFile
from data.errors import UserError
from pipeline.download import download_dataset

CONTENT = bytes(range(256)) * 5000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT under any name, with ranges; `breaks` says after how many bytes each reply ends."""

    breaks: list[int] = []
    ranges = True
    seen: list[str] = []

    def do_GET(self):
        type(self).seen.append(self.headers.get("Range", "whole"))
        if self.path == "/gone.zip":
            return self.send_error(404)
        start = 0
        if self.ranges and "Range" in self.headers:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = start + self.breaks.pop(0) if self.breaks else None
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *args):
        pass


@contextmanager
def serving(breaks=(), ranges=True):
    kind = type("One", (Handler,), {"breaks": list(breaks), "ranges": ranges, "seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kind.seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def dataset(*urls, size=1280000, sha256=None, md5=""):
    digest = hashlib.sha256(CONTENT).hexdigest() if sha256 is None else sha256
    file = RemoteFile("a.zip", tuple(urls), size, digest, md5)
    return DatasetSpec("D", "archives", "t", "l", files=(file,))


def fetch(spec, out):
    pauses = []
    download_dataset(spec, out, pause=pauses.append)
    return pauses


def test_a_file_is_fetched_and_recorded(tmp_path):
    with serving() as (url, _):
        fetch(dataset(f"{url}/a.zip"), tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert json.loads((tmp_path / "download.json").read_text())["files"] == {"a.zip": len(CONTENT)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "download.json"]


def test_a_broken_connection_is_taken_up_where_it_broke(tmp_path):
    with serving(breaks=[1000, 500_000]) as (url, seen):
        pauses = fetch(dataset(f"{url}/a.zip"), tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert seen == ["whole", "bytes=1000-", "bytes=501000-"]
    assert len(pauses) == 2


def test_a_server_without_ranges_starts_anew(tmp_path):
    with serving(breaks=[1000], ranges=False) as (url, _):
        fetch(dataset(f"{url}/a.zip"), tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_the_next_mirror_is_tried(tmp_path):
    with serving() as (url, _):
        fetch(dataset(f"{url}/gone.zip", f"{url}/a.zip"), tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_all_mirrors_gone_says_which_and_why(tmp_path):
    with serving() as (url, _), pytest.raises(UserError, match="gone.zip: HTTP 404"):
        fetch(dataset(f"{url}/gone.zip"), tmp_path)


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": 5}, {"sha256": "", "md5": "0" * 32}])
def test_a_wrong_file_never_gets_its_name(tmp_path, change):
    with serving() as (url, _), pytest.raises(UserError, match="a.zip with"):
        fetch(dataset(f"{url}/a.zip", **change), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip.bad"]


def test_what_is_there_is_not_fetched_again(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"adopted")
    fetch(dataset("http://127.0.0.1:9/a.zip"), tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == b"adopted"


def test_a_full_disk_is_noticed_before(tmp_path):
    with pytest.raises(UserError, match="bytes free"):
        fetch(dataset("http://127.0.0.1:9/a.zip", size=1 << 60), tmp_path)
    assert not (tmp_path / "a.zip").exists()


def test_a_dataset_to_be_got_by_hand_says_how(tmp_path):
    with pytest.raises(UserError, match="register at the site"):
        fetch(DatasetSpec("D", "archives", "t", "l", manual="register at the site"), tmp_path)
