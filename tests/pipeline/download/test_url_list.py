"""A list of URLs is fetched politely and once; dead links are rejections, and nothing is lost when a run is killed."""

import http.server
import io
import threading
import zipfile

import pytest
from archives import encoded_image
from server import serve_files

from data.errors import UserError
from data.records import RejectionReason
from data.sources.url_list import UrlListSource
from pipeline.download.url_list import PoliteSettings, fetch_urls, read_fetch_record, read_url_lists

PNGS = {f"/{number}.png": encoded_image(number) for number in range(6)}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def settings():
    """Settings that wait for nothing, and the list of pauses."""
    pauses = []
    return PoliteSettings(connections=4, pause=pauses.append), pauses


def zip_of(path, lists):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in lists.items():
            archive.writestr(name, text)
    path.write_bytes(buffer.getvalue())
    return path


def test_lists_are_read_from_a_zip_each_url_once(tmp_path):
    lists = {
        "HQ-50K/train/a.txt": "https://a.example/1.jpg\n\nnothing\n0,https://b.example/2.png\n",
        "HQ-50K/val/../b c.txt": "https://a.example/1.jpg\nhttp://c.example/3\n",
        "HQ-50K/readme.md": "https://d.example/\n",
    }
    found = read_url_lists([zip_of(tmp_path / "l.zip", lists)])
    assert [one.url for one in found] == [
        "https://a.example/1.jpg",
        "https://b.example/2.png",
        "http://c.example/3",
    ]
    assert [one.id.rpartition("-")[0] for one in found] == [
        "HQ-50K/train/a/000001", "HQ-50K/train/a/000004", "HQ-50K/val/b_c/000002",
    ]  # fmt: skip
    assert [one.url for one in read_url_lists([tmp_path / "l.zip"], "HQ-50K/val/")] == [
        "https://a.example/1.jpg", "http://c.example/3",
    ]  # fmt: skip
    with pytest.raises(UserError, match="There is no URL"):
        read_url_lists([tmp_path / "l.zip"], "test/")
    (tmp_path / "l.zip").write_bytes(b"<html>")
    with pytest.raises(UserError, match="can't be read"):
        read_url_lists([tmp_path / "l.zip"])


def listed(tmp_path, *urls):
    return read_url_lists([zip_of(tmp_path / "l.zip", {"train.txt": "\n".join(urls)})])


def test_images_are_fetched_and_dead_links_are_rejections(tmp_path, settings):
    polite, _ = settings
    with serve_files(PNGS | {"/page": b"<html>gone</html>"}) as server:
        urls = [f"{server.url}{path}" for path in [*PNGS, "/missing.png", "/page"]] + [
            "http://127.0.0.1:1/x.png"
        ]
        fetch_urls(listed(tmp_path, *urls), tmp_path / "out", polite)
        seen = len(server.seen)
        # Again: nothing is asked for a second time.
        fetch_urls(listed(tmp_path, *urls), tmp_path / "out", polite)
        assert len(server.seen) == seen
    source = list(UrlListSource(tmp_path / "out").scan())
    images = [one for one in source if not hasattr(one, "reason")]
    dead = {
        one.detail.rpartition(": ")[0].rpartition("/")[2]: one for one in source if hasattr(one, "reason")
    }
    assert len(images) == 6 and all(one.id.startswith("train/00000") for one in images)
    assert {one.reason for one in dead.values()} <= {RejectionReason.UNREACHABLE, RejectionReason.UNREADABLE}
    record = read_fetch_record(tmp_path / "out")
    assert record["totals"]["fetched"] + record["totals"]["rejected"] == 9
    assert record["totals"]["rejected"] >= 2 and record["rejections"]["unreachable"] >= 2


def test_a_killed_run_goes_on_and_a_link_that_may_come_back_is_tried_again(tmp_path, settings):
    polite, pauses = settings
    with serve_files(PNGS) as server:
        urls = listed(tmp_path, *(f"{server.url}{path}" for path in PNGS))
        fetch_urls(urls[:3], tmp_path / "out", polite)
        (tmp_path / "out" / "fetch.json").unlink()
        (tmp_path / "out" / "journal.jsonl").write_bytes(b'["train/0000')  # killed while it was written
        server.statuses = [503]
        before = len(server.seen)
        fetch_urls(urls, tmp_path / "out", polite)
        assert len(server.seen) - before == 4  # three images, one of them twice
    assert read_fetch_record(tmp_path / "out")["totals"] == {"urls": 6, "fetched": 6, "rejected": 0}
    assert pauses


def test_what_its_host_does_not_want_trained_on_and_what_is_too_large_is_not_kept(tmp_path, settings):
    polite, _ = settings
    with serve_files(PNGS) as server:
        urls = listed(tmp_path, *(f"{server.url}{path}" for path in PNGS))
        fetch_urls(urls[:1], tmp_path / "out", polite)
        server.headers = {"X-Robots-Tag": "noindex, noai"}
        fetch_urls(urls[:2], tmp_path / "out", polite)
        server.headers = {}
        small = PoliteSettings(max_bytes=10, pause=lambda seconds: None)
        fetch_urls(urls[:3], tmp_path / "out", small)
    reasons = read_fetch_record(tmp_path / "out")["rejections"]
    assert reasons == {"opted_out": 1, "too_large": 1}


def test_without_a_connection_the_run_ends_with_an_error(tmp_path, settings):
    urls = listed(tmp_path, "http://127.0.0.1:1/a.png", "http://127.0.0.1:1/b.png")
    with pytest.raises(UserError, match="Not one of 2 URLs gave an image"):
        fetch_urls(urls, tmp_path / "out", settings[0])
    assert not (tmp_path / "out" / "journal.jsonl").exists()


def test_a_host_that_does_not_answer_is_not_asked_for_ever(tmp_path, settings):
    polite, _ = settings
    with serve_files(PNGS) as server:
        dead = [f"http://localhost:1/{number}.png" for number in range(20)]
        urls = listed(tmp_path, f"{server.url}/0.png", "http://[bad/1.png", *dead)
        fetch_urls(urls, tmp_path / "out", polite)
    failures = [one.detail for one in UrlListSource(tmp_path / "out").scan() if hasattr(one, "reason")]
    assert len(failures) == 21 and sum("did not answer 3 links in a row" in one for one in failures) >= 16
    assert sum("Errno" in one for one in failures) in (3, 4)  # two connections may ask at the same time
    assert read_fetch_record(tmp_path / "out")["totals"] == {"urls": 22, "fetched": 1, "rejected": 21}


class Counting(http.server.BaseHTTPRequestHandler):
    """Answers when a third request is there at once, or after a moment."""

    active, most = 0, 0
    lock, third = threading.Lock(), threading.Event()

    def do_GET(self):
        kind = type(self)
        with kind.lock:
            kind.active += 1
            kind.most = max(kind.most, kind.active)
            if kind.active > 2:
                kind.third.set()
        kind.third.wait(0.1)
        content = PNGS["/0.png"]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with kind.lock:
            kind.active -= 1
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


def test_a_host_gets_two_connections_and_a_pause_after_each_request(tmp_path, settings):
    polite, pauses = settings
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        fetch_urls(
            listed(tmp_path, *(f"{base}/{number}.png" for number in range(7))), tmp_path / "out", polite
        )
    finally:
        server.shutdown()
        server.server_close()
    assert Counting.most == 2
    assert pauses == [0.5] * 5  # seven requests by two connections
