"""Download from a server on this machine that misbehaves in every way known of real servers."""

import base64
import errno
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import ssl
import subprocess
import tarfile
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from server import serve_files

from data.catalog.spec import DatasetSpec, RemoteFile
from data.errors import UserError
from pipeline.download import journal as journals
from pipeline.download import partial_file
from pipeline.download.download import DownloadSettings, download_dataset, is_unchanged, open_verified_files
from pipeline.download.journal import Journal, merge_ranges
from pipeline.download.transfer import ATTEMPTS, TransferSettings, backoff_s

CONTENT, OTHER = (
    b"PK\3\4" + random.Random(seed).randbytes(1_279_974) + b"PK\5\6" + bytes(18) for seed in (0, 1)
)


def archive_of(name):
    """Return an archive of the kind that the name says, with 20 kB that do not compress."""
    buffer = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("0", CONTENT[:20_000])
    else:
        with tarfile.open(fileobj=buffer, mode="w" if name.endswith(".tar") else "w:gz") as tar:
            info = tarfile.TarInfo("0")
            info.size = 20_000
            tar.addfile(info, io.BytesIO(CONTENT))
    return buffer.getvalue()


def dataset(*urls, content=CONTENT, manual="", **change):
    published = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "md5": ""} | change
    return DatasetSpec(
        "D", "archives", "t", "l", files=(RemoteFile("a.zip", urls, **published),), manual=manual
    )


def fetch(spec, out, archives=(), connections=1, part_bytes=200_000, timeout_s=5.0, pause=None, **options):
    pauses = []
    transfer = TransferSettings(connections, part_bytes, timeout_s, pause or pauses.append)
    download_dataset(spec, out, DownloadSettings(tuple(archives), transfer), **options)
    return pauses


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    """Take away the proxies of the machine that runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "downloads" / "D-0123456789ab"


def test_a_file_is_fetched_in_parts_and_recorded(out):
    with serve_files({"/a.zip": CONTENT}) as server:
        fetch(dataset(f"{server.url}/a.zip"), out, connections=3)
    assert (out / "a.zip").read_bytes() == CONTENT
    assert len(server.seen) == 7 and server.twice == 0
    row = json.loads((out / "download.json").read_text())["files"]["a.zip"]
    assert row == {"bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    assert names(out) == ["a.zip", "download.json"]


class KilledError(BaseException):
    pass


def kill(seconds):
    raise KilledError


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_is_killed_fifty_times_fetches_almost_nothing_twice(out, ranges):
    chance = random.Random(5)
    with serve_files({"/a.zip": CONTENT}) as server:
        server.cut = lambda size: chance.randrange(size // 2 + 1)
        server.ranges = ranges
        kills = 0
        while kills < 50 and not (out / "a.zip").exists():
            try:
                fetch(dataset(f"{server.url}/a.zip"), out, pause=kill, part_bytes=40_000)
            except KilledError:
                kills += 1
                assert not (out / "a.zip").exists()
        assert kills == 50
        server.cut = lambda size: None
        fetch(dataset(f"{server.url}/a.zip"), out)
    assert (out / "a.zip").read_bytes() == CONTENT
    if ranges:
        assert server.twice <= 0.02
    assert names(out) == ["a.zip", "download.json"]


def test_broken_connections_are_resumed_where_they_broke(out):
    cuts = [1000, 50_000, None]
    with serve_files({"/a.zip": CONTENT}) as server:
        server.cut = lambda size: cuts.pop(0) if cuts else None
        pauses = fetch(dataset(f"{server.url}/a.zip"), out, part_bytes=10_000_000)
    assert [wanted for _, wanted in server.seen] == [
        "bytes=0-1279999", "bytes=1000-1279999", "bytes=51000-1279999",
    ]  # fmt: skip
    assert (out / "a.zip").read_bytes() == CONTENT and len(pauses) == 2


def test_bytes_of_an_interrupted_run_are_hashed_again_and_shown_in_the_progress(out):
    calls = []
    with serve_files({"/a.zip": CONTENT}) as server:
        server.cut = lambda size: 150_000
        with pytest.raises(KilledError):
            fetch(dataset(f"{server.url}/a.zip"), out, pause=kill)
        server.cut = lambda size: None
        fetch(dataset(f"{server.url}/a.zip"), out, progress=lambda *numbers: calls.append(numbers[:2]))
    assert calls[0][0] >= 150_000 and calls[-1] == (len(CONTENT), len(CONTENT))
    assert server.twice == 0


@pytest.mark.parametrize("validators", [True, False])
def test_a_file_that_changes_midway_is_fetched_from_the_start(out, validators):
    with serve_files({"/a.zip": OTHER}) as server:
        server.validators = validators
        server.cut = lambda size: 150_000

        def change(seconds):
            server.files["/a.zip"], server.cut = CONTENT, lambda size: None

        fetch(dataset(f"{server.url}/a.zip"), out, pause=change)
    assert (out / "a.zip").read_bytes() == CONTENT
    assert names(out) == ["a.zip", "a.zip.bad", "download.json"], (
        "the checksum decides, whatever the ETags say"
    )


def test_without_a_checksum_a_changed_file_is_fetched_from_the_start(out):
    with serve_files({"/a.zip": OTHER}) as server:
        server.cut = lambda size: 150_000

        def change(seconds):
            server.files["/a.zip"], server.cut = CONTENT, lambda size: None

        fetch(dataset(f"{server.url}/a.zip", sha256=""), out, pause=change)
    assert (out / "a.zip").read_bytes() == CONTENT and names(out) == ["a.zip", "download.json"]


@pytest.mark.parametrize("nodes", [['"1"', '"2"', '"3"'], ['W/"1"', 'W/"2"', 'W/"3"']])
@pytest.mark.parametrize("connections", [1, 3])
def test_a_cdn_whose_nodes_disagree_is_left_to_the_checksum(out, nodes, connections):
    cuts = [100_000, 50_000]
    with serve_files({"/a.zip": CONTENT}) as server:
        server.nodes = nodes
        server.cut = lambda size: cuts.pop() if cuts else None
        fetch(dataset(f"{server.url}/a.zip"), out, connections=connections)
    assert (out / "a.zip").read_bytes() == CONTENT and server.twice == 0
    assert names(out) == ["a.zip", "download.json"]


def test_a_cdn_whose_nodes_disagree_on_the_date_is_left_to_the_checksum(out):
    with serve_files({"/a.zip": CONTENT}) as server:
        server.validators = False
        server.sending = lambda count: server.headers.update({"Last-Modified": f"day {len(server.seen)}"})
        fetch(dataset(f"{server.url}/a.zip"), out, connections=3)
    assert (out / "a.zip").read_bytes() == CONTENT and server.twice == 0


def test_without_a_checksum_a_cdn_whose_nodes_disagree_sends_the_file_in_one_reply(out):
    with serve_files({"/a.zip": CONTENT}) as server:
        server.nodes = ['"1"', '"2"', '"3"']
        fetch(dataset(f"{server.url}/a.zip", sha256=""), out, connections=3)
    assert (out / "a.zip").read_bytes() == CONTENT and server.seen[-1][1] == "whole"


def test_a_weakened_etag_names_the_same_version(out):
    with serve_files({"/a.zip": CONTENT}) as server:
        server.nodes = ['"1"', 'W/"1"']
        fetch(dataset(f"{server.url}/a.zip", sha256=""), out, part_bytes=len(CONTENT) // 2)
    assert server.twice == 0 and len(server.seen) == 2
    assert (out / "a.zip").read_bytes() == CONTENT


def test_a_part_of_another_size_is_never_put_to_the_rest(out):
    with serve_files({"/a.zip": OTHER[:-9]}) as server:
        server.cut = lambda size: 150_000

        def change(seconds):
            server.files["/a.zip"], server.cut = CONTENT, lambda size: None

        fetch(dataset(f"{server.url}/a.zip", bytes=0), out, pause=change)
    assert (out / "a.zip").read_bytes() == CONTENT and names(out) == ["a.zip", "download.json"]


def test_a_server_that_ignores_ranges_sends_the_whole_file(out):
    cuts = [100_000]
    with serve_files({"/a.zip": CONTENT}) as server:
        server.ranges = False
        server.cut = lambda size: cuts.pop() if cuts else None
        fetch(dataset(f"{server.url}/a.zip"), out, connections=4)
    assert (out / "a.zip").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_and_always_breaks_is_abandoned(out):
    with (
        serve_files({"/a.zip": CONTENT}) as server,
        pytest.raises(UserError, match="of 1280000 bytes, 5 times in a row"),
    ):
        server.ranges, server.cut = False, lambda size: 1000
        fetch(dataset(f"{server.url}/a.zip"), out)
    assert "a.zip" not in names(out)


@pytest.mark.parametrize("length", ["1000", "9999999", ""])
def test_a_server_that_sends_a_wrong_length(out, length):
    """A length that is too short or too long contradicts the published size; a missing one is accepted."""
    with serve_files({"/a.zip": CONTENT}) as server:
        server.ranges, server.headers = False, {"Content-Length": length}
        if length:
            with pytest.raises(
                UserError, match=f"has {length} bytes there, but the published one has 1280000"
            ):
                fetch(dataset(f"{server.url}/a.zip"), out)
            assert "a.zip" not in names(out)
        else:
            fetch(dataset(f"{server.url}/a.zip"), out)
            assert (out / "a.zip").read_bytes() == CONTENT


def test_a_range_that_was_not_requested_is_refused(out):
    with (
        serve_files({"/a.zip": CONTENT}) as server,
        pytest.raises(UserError, match="Content-Range 'bytes 5-9/1280000'"),
    ):
        server.headers = {"Content-Range": "bytes 5-9/1280000"}
        fetch(dataset(f"{server.url}/a.zip"), out)


def test_a_stalled_connection_is_closed(out):
    cuts = [70_000]
    with serve_files({"/a.zip": CONTENT}) as server:
        server.stall.set()
        server.cut = lambda size: cuts.pop() if cuts else None
        pauses = fetch(dataset(f"{server.url}/a.zip"), out, timeout_s=0.2)
    assert (out / "a.zip").read_bytes() == CONTENT
    assert len(pauses) == 1 and server.twice <= 0.06


def test_a_busy_server_is_asked_again_after_the_time_it_names(out):
    with serve_files({"/a.zip": CONTENT}) as server:
        server.statuses, server.headers = [503, 429], {"Retry-After": "7"}
        pauses = fetch(dataset(f"{server.url}/a.zip"), out)
    assert (out / "a.zip").read_bytes() == CONTENT
    assert pauses == [7.0, 7.0]


def test_a_server_that_rejects_every_range_is_not_asked_forever(out):
    with serve_files({"/a.zip": CONTENT}) as server, pytest.raises(UserError, match="HTTP 416"):
        server.statuses = [416] * 99
        fetch(dataset(f"{server.url}/a.zip"), out)
    assert len(server.seen) == 2


def test_a_server_that_stays_busy_is_abandoned_for_the_next_mirror(out):
    with serve_files({"/a.zip": CONTENT}) as busy, serve_files({"/a.zip": CONTENT}) as server:
        busy.statuses = [503] * 99
        fetch(dataset(f"{busy.url}/a.zip", f"{server.url}/a.zip"), out)
        assert len(busy.seen) == ATTEMPTS
    assert (out / "a.zip").read_bytes() == CONTENT


def test_another_mirror_continues_where_one_broke(out):
    with serve_files({"/a.zip": CONTENT}) as first, serve_files({"/b/a.zip": CONTENT}) as second:
        first.cut = lambda size: first.statuses.extend([404]) or 190_000
        fetch(dataset(f"{first.url}/a.zip", f"{second.url}/b/a.zip"), out)
        assert second.seen[0][1] == "bytes=190000-389999"
    assert (out / "a.zip").read_bytes() == CONTENT


def test_if_all_mirrors_fail_the_error_names_each_cause_and_what_to_do(out):
    with serve_files({}) as server:
        spec = dataset(f"{server.url}/a.zip", "http://127.0.0.1:9/a.zip", manual="ask the authors")
        with pytest.raises(UserError, match=r"a.zip: HTTP 404.*:9/a.zip: .*refused.*ask the authors"):
            fetch(spec, out)
    assert "a.zip" not in names(out)


PAGE = b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html><title>Quota exceeded</title></html>"


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("change", [{}, {"sha256": ""}])
def test_a_page_instead_of_an_archive_is_refused_and_leaves_nothing(out, change, ranges):
    """The server calls it what it likes, and says 200."""
    with serve_files({"/a.zip": PAGE}) as server:
        server.ranges, server.headers = ranges, {"Content-Type": "application/zip"}
        spec = dataset(f"{server.url}/a.zip", **change | {"bytes": 0})
        with pytest.raises(UserError, match="sends an HTML page instead of the file"):
            fetch(spec, out)
        assert names(out) == [] and not is_unchanged(spec, out)
        server.files["/a.zip"] = CONTENT
        fetch(spec, out)
    assert (out / "a.zip").read_bytes() == CONTENT


def test_a_page_instead_of_the_rest_does_not_cost_the_bytes_that_are_there(out):
    with serve_files({"/a.zip": CONTENT}) as server:
        server.cut = lambda size: 150_000
        with pytest.raises(KilledError):
            fetch(dataset(f"{server.url}/a.zip"), out, pause=kill)
        server.cut, server.files["/a.zip"], server.ranges = (lambda size: None), PAGE, False
        with pytest.raises(UserError, match="sends an HTML page instead"):
            fetch(dataset(f"{server.url}/a.zip"), out)
        server.files["/a.zip"], server.ranges = CONTENT, True
        fetch(dataset(f"{server.url}/a.zip"), out)
    assert server.seen[-1][1] == "bytes=1150000-1279999" and (out / "a.zip").read_bytes() == CONTENT


def test_a_page_that_was_taken_for_an_archive_before_is_fetched_anew(out):
    """As an older version left it: recorded, and remembered as verified."""
    out.mkdir(parents=True)
    (out / "a.zip").write_bytes(PAGE)
    open_verified_files(out).add(out / "a.zip", "sha256", "")
    with serve_files({"/a.zip": CONTENT}) as server:
        spec = dataset(f"{server.url}/a.zip", bytes=0, sha256="")
        assert not is_unchanged(spec, out)
        fetch(spec, out)
        assert is_unchanged(spec, out)
    assert (out / "a.zip").read_bytes() == CONTENT and (out / "a.zip.bad").read_bytes() == PAGE


def test_a_zip_of_unknown_size_that_ends_early_is_set_aside_and_fetched_anew(out):
    with serve_files({"/a.zip": CONTENT}) as server:
        server.ranges, server.headers = False, {"Content-Length": ""}
        server.cut = lambda size: 900_000
        spec = dataset(f"{server.url}/a.zip", bytes=0, sha256="")
        with pytest.raises(UserError, match="got a zip archive without its end"):
            fetch(spec, out)
        assert names(out) == ["a.zip.bad"]
        server.cut = lambda size: None
        fetch(spec, out)
    assert (out / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("count", [0, 3, 511])
def test_a_connection_that_ends_within_the_first_bytes_is_tried_again(out, count):
    cuts = [count, count]
    content = archive_of("a.tar")
    with serve_files({"/a.tar": content}) as server:
        server.cut = lambda size: cuts.pop() if cuts else None
        file = RemoteFile("a.tar", (f"{server.url}/a.tar",))
        fetch(DatasetSpec("D", "archives", "t", "l", files=(file,)), out)
    assert (out / "a.tar").read_bytes() == content


def test_a_page_in_a_folder_of_archives_is_not_adopted(out, tmp_path):
    (tmp_path / "a.zip").write_bytes(PAGE)
    with pytest.raises(UserError, match="found an HTML page, but D needs the file of its name"):
        fetch(dataset(bytes=0, sha256=""), out, [tmp_path])


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "text/html"}, {"Content-Encoding": "x-gzip"}, {"Content-Encoding": "gzip"}]
)
@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.TGZ"])
@pytest.mark.parametrize("has_checksum", [True, False])
def test_headers_that_mislabel_an_archive_are_not_believed(out, name, headers, has_checksum):
    content = archive_of(name)
    digest = hashlib.sha256(content).hexdigest() if has_checksum else ""
    with serve_files({f"/{name}": content}) as server:
        server.headers = headers
        file = RemoteFile(name, (f"{server.url}/{name}",), 0, digest)
        fetch(DatasetSpec("D", "archives", "t", "l", files=(file,)), out, part_bytes=4000)
    assert (out / name).read_bytes() == content and server.twice == 0


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_an_archive_that_a_server_compresses_on_its_way_is_refused(out, name):
    with serve_files({f"/{name}": gzip.compress(archive_of(name))}) as server:
        server.headers = {"Content-Encoding": "gzip"}
        file = RemoteFile(name, (f"{server.url}/{name}",))
        with pytest.raises(UserError, match="sends Content-Encoding gzip instead of the file"):
            fetch(DatasetSpec("D", "archives", "t", "l", files=(file,)), out)
    assert names(out) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sha256": "0" * 64}, "expected sha256 0{64}, got"),
        ({"sha256": "", "md5": "0" * 32}, "expected md5 0{32}, got"),
    ],
)
def test_a_wrong_checksum_is_an_error_and_the_file_is_set_aside(out, change, words):
    with serve_files({"/a.zip": CONTENT}) as server, pytest.raises(UserError, match=words):
        fetch(dataset(f"{server.url}/a.zip", **change), out)
    assert names(out) == ["a.zip.bad"]
    assert (out / "a.zip.bad").read_bytes() == CONTENT
    assert server.twice == 0


def test_after_a_wrong_checksum_the_next_mirror_is_tried(out):
    with serve_files({"/a.zip": OTHER}) as wrong, serve_files({"/a.zip": CONTENT}) as right:
        fetch(dataset(f"{wrong.url}/a.zip", f"{right.url}/a.zip"), out)
    assert (out / "a.zip").read_bytes() == CONTENT


def test_a_full_disk_is_an_error_before_anything_is_fetched(out):
    with serve_files({"/a.zip": CONTENT}) as server, pytest.raises(UserError, match="free"):
        fetch(dataset(f"{server.url}/a.zip", bytes=1 << 60), out)
    assert not server.seen


def test_without_a_published_checksum_the_computed_one_is_recorded(out):
    with serve_files({"/a.zip": CONTENT}) as server:
        fetch(dataset(f"{server.url}/a.zip", bytes=0, sha256=""), out)
    row = json.loads((out / "download.json").read_text())["files"]["a.zip"]
    assert row["sha256"] == hashlib.sha256(CONTENT).hexdigest()


def test_proxies_come_from_the_environment(out, monkeypatch):
    with serve_files({"/a.zip": CONTENT}) as server:
        monkeypatch.setenv("http_proxy", server.url)
        fetch(dataset("http://unreachable.example/a.zip"), out)
    assert server.seen[0][0] == "http://unreachable.example/a.zip"


def test_a_proxy_in_use_is_named_in_the_error(out, monkeypatch):
    with serve_files({}) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url.replace("//", "//me:secret@"))
        with pytest.raises(UserError) as caught:
            fetch(dataset("http://unreachable.example/a.zip"), out)
    shown = server.url.replace("//", "//***@")
    assert f"a.zip through the proxy {shown} (HTTP_PROXY): HTTP 404" in str(caught.value)
    assert "secret" not in str(caught.value) and server.seen


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "SOCKS4"])
def test_a_socks_proxy_is_refused_at_once(out, monkeypatch, variable, scheme):
    pauses = []
    monkeypatch.setenv(variable, f"{scheme}://me:secret@127.0.0.1:9")
    with pytest.raises(
        UserError, match=f"{variable} names a {scheme.lower()} proxy, but only http"
    ) as caught:
        fetch(dataset("http://unreachable.example/a.zip"), out, pause=pauses.append)
    assert not pauses and "secret" not in str(caught.value)


def test_a_socks_proxy_does_not_matter_where_no_proxy_excludes_the_host(out, monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve_files({"/a.zip": CONTENT}) as server:
        fetch(dataset(f"{server.url}/a.zip"), out)
    assert (out / "a.zip").read_bytes() == CONTENT


def test_a_proxy_variable_that_is_not_read_is_named_in_the_error(out, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with (
        serve_files({}) as server,
        pytest.raises(UserError, match="not through ALL_PROXY, .* set http_proxy"),
    ):
        fetch(dataset(f"{server.url}/a.zip"), out)


def test_a_proxy_that_refuses_is_asked_once_and_one_that_is_busy_again(out, monkeypatch):
    with serve_files({}) as server:
        server.statuses = [503, 403]
        monkeypatch.setenv("https_proxy", server.url)
        with pytest.raises(UserError, match=r"\(https_proxy\): URLError: Tunnel connection failed: 403"):
            fetch(dataset("https://unreachable.example/a.zip"), out)
    assert server.seen == [("unreachable.example:443", "connect")] * 2


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl")
def test_a_wrong_certificate_is_refused_at_once(out, tmp_path):
    pem, pauses = str(tmp_path / "a.pem"), []
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", pem, "-out", pem], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with (
        serve_files({"/a.zip": CONTENT}, context) as server,
        pytest.raises(UserError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        fetch(dataset(f"{server.url}/a.zip"), out, pause=pauses.append)
    assert not pauses


def test_credentials_of_a_url_reach_the_server_and_nothing_else(out):
    """They are in no message, no progress note and no file."""
    notes = []
    with serve_files({"/a.zip?key=secret": CONTENT}) as server:
        url = server.url.replace("//", "//me:se%20cret@") + "/a.zip?key=secret"
        server.cut = lambda size: 150_000

        def stop(seconds):
            notes.extend(path.read_bytes() for path in out.iterdir() if path.name != "a.zip.partial")
            raise KilledError

        with pytest.raises(KilledError):
            fetch(
                dataset(url, sha256=""),
                out,
                pause=stop,
                progress=lambda *one: notes.append(repr(one).encode()),
            )
        server.statuses = [403]
        with pytest.raises(UserError) as caught:
            fetch(dataset(url, sha256=""), out)
        server.cut = lambda size: None
        fetch(dataset(url, sha256=""), out)
    assert f"{server.url.replace('//', '//***@')}/a.zip?key=***: HTTP 403" in str(caught.value)
    assert server.authorization[0] == "Basic " + base64.b64encode(b"me:se cret").decode()
    shown = b" ".join([*notes, str(caught.value).encode(), (out / "download.json").read_bytes()])
    assert b"key=***" in shown and b"secret" not in shown and b"cret" not in shown
    assert server.twice == 0, "the journal still knows the mirror"


def test_credentials_are_not_sent_to_where_a_url_redirects(out):
    with serve_files({"/a.zip": CONTENT}) as other, serve_files({}) as server:
        server.statuses, server.headers = [302] * 99, {"Location": f"{other.url}/a.zip"}
        fetch(dataset(server.url.replace("//", "//me:secret@") + "/a.zip"), out)
    assert (out / "a.zip").read_bytes() == CONTENT
    assert all(server.authorization) and not any(other.authorization)


@pytest.mark.parametrize(
    "location", ["http://me:secret@127.0.0.1:9/a.zip", "ftp-x://me:secret@h/a?k=secret", "http://h:secret/"]
)
def test_credentials_in_a_redirection_are_hidden_too(out, location):
    with serve_files({}) as server, pytest.raises(UserError) as caught:
        server.statuses, server.headers = [302] * 99, {"Location": location}
        fetch(dataset(f"{server.url}/a.zip"), out)
    assert "secret" not in str(caught.value)


def test_an_archive_on_disk_is_verified_adopted_and_remembered(out, tmp_path, monkeypatch):
    spec = dataset("http://127.0.0.1:9/a.zip")
    (tmp_path / "mine" / "D").mkdir(parents=True)
    mine = tmp_path / "mine" / "D" / "a.zip"
    mine.write_bytes(CONTENT)
    calls = []
    fetch(spec, out, [tmp_path / "mine"], progress=lambda *numbers: calls.append(numbers))
    assert (out / "a.zip").resolve() == mine and calls[-2:] == [
        (len(CONTENT), len(CONTENT), "verifying a.zip"),
        (len(CONTENT), len(CONTENT)),
    ]
    assert is_unchanged(spec, out)
    calls.clear()
    fetch(spec, out, [tmp_path / "mine"], progress=lambda *numbers: calls.append(numbers))
    assert calls == [(len(CONTENT), len(CONTENT))], "a verified file is not read again"
    mine.write_bytes(OTHER)
    os.utime(mine, (1, 1))
    assert not is_unchanged(spec, out)
    with pytest.raises(
        UserError, match="a.zip is not the published file: found sha256 .* but D needs sha256"
    ):
        fetch(spec, out, [tmp_path / "mine"])
    assert mine.read_bytes() == OTHER, "the user's own file is left alone"


def test_a_file_put_into_the_store_by_hand_is_verified_too(out):
    out.mkdir(parents=True)
    (out / "a.zip").write_bytes(OTHER)
    with serve_files({"/a.zip": CONTENT}) as server:
        fetch(dataset(f"{server.url}/a.zip"), out)
        assert (out / "a.zip").read_bytes() == CONTENT and (out / "a.zip.bad").read_bytes() == OTHER
        fetch(dataset(f"{server.url}/a.zip"), out)
    assert len(server.seen) == 7


def test_a_dataset_without_urls_says_how_to_get_it(out):
    with pytest.raises(UserError, match="a.zip is in no folder of archives .*register at the site"):
        fetch(dataset(manual="register at the site"), out)


def test_two_concurrent_runs_fetch_a_file_once(out):
    with serve_files({"/a.zip": CONTENT}) as server, ThreadPoolExecutor(2) as pool:
        for run in [pool.submit(fetch, dataset(f"{server.url}/a.zip"), out) for _ in range(2)]:
            run.result()
    assert server.twice == 0 and names(out) == ["a.zip", "download.json"]


def test_several_files_share_one_progress_bar(out):
    files = []
    with serve_files({"/a.zip": CONTENT, "/b.zip": OTHER}) as server:
        for name, content in (("a.zip", CONTENT), ("b.zip", OTHER)):
            digest = hashlib.sha256(content).hexdigest()
            files.append(RemoteFile(name, (f"{server.url}/{name}",), len(content), digest))
        calls = []
        spec = DatasetSpec("D", "archives", "t", "l", files=tuple(files))
        fetch(spec, out, progress=lambda *numbers: calls.append(numbers[:2]))
    assert calls[-1] == (2_560_000, 2_560_000) and {total for _, total in calls} == {2_560_000}
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_a_disk_that_fills_up_stops_the_download_and_keeps_the_bytes(out, monkeypatch):
    write, left = os.pwrite, [3]

    def full(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    with serve_files({"/a.zip": CONTENT}) as server:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(UserError, match="Can't write to .*: the disk is full"):
            fetch(dataset(f"{server.url}/a.zip"), out)
        monkeypatch.undo()
        fetch(dataset(f"{server.url}/a.zip"), out)
    assert (out / "a.zip").read_bytes() == CONTENT and server.seen[1][1].startswith("bytes=196608-")


def test_a_server_that_does_not_say_the_size_sends_the_whole_file(out):
    with serve_files({"/a.zip": CONTENT}) as server:
        server.headers = {"Content-Range": "bytes 0-199999/*"}
        fetch(dataset(f"{server.url}/a.zip", bytes=0), out)
    assert (out / "a.zip").read_bytes() == CONTENT and server.seen[-1][1] == "whole"


def test_pauses_grow_with_jitter_and_stay_bounded():
    for tries in range(20):
        longest = min(2.0**tries, 60.0)
        assert all(longest / 2 <= backoff_s(tries) <= longest for _ in range(50))
    assert len({backoff_s(6) for _ in range(50)}) > 10
    assert backoff_s(0, retry_after_s=30) == 30 and backoff_s(0, retry_after_s=1e9) == 300


ABOUT = {"url": "u", "total": 100, "etag": "", "modified": ""}


def test_a_journal_survives_an_incomplete_line_and_ignores_invalid_content(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.restart(ABOUT, [])
    journal.add(0, 10)
    journal.add(20, 30)
    journal.add(10, 15)
    with open(path, "ab") as file:
        file.write(b"40 5")
    again = Journal(path)
    assert again.ranges == [(0, 15), (20, 30)] and again.frontier == 15 and again.done == 25
    assert again.missing(50) == [(15, 20), (30, 80), (80, 100)]
    again.add(15, 16)
    assert Journal(path).ranges == [(0, 16), (20, 30)]
    whole = path.read_bytes()
    for invalid in (
        b"",
        b"\n",
        b"[]\n",
        whole.replace(b": 2", b": 3"),
        b"\xff\n",
        whole + b"x y\n",
        whole + b"1 2 3\n",
    ):
        path.write_bytes(invalid)
        assert Journal(path).ranges == []
    assert merge_ranges([(5, 7), (0, 2), (2, 5), (6, 9)]) == [(0, 9)]


def test_after_a_power_failure_only_synced_ranges_count(tmp_path, monkeypatch):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.restart(ABOUT, [])
    for start in (0, 20, 40):
        journal.add(start, start + 10)
    journal.mark_safe([(0, 10), (20, 30)])
    assert Journal(path).ranges == [(0, 10), (20, 30), (40, 50)]
    monkeypatch.setattr(journals, "_read_boot_id", lambda: "the next boot")
    after = Journal(path)
    assert (after.about, after.ranges) == (ABOUT, [(0, 10), (20, 30)])
    after.add(10, 20)
    assert Journal(path).ranges == [(0, 30)]


def test_a_download_is_synced_on_its_way_and_a_failed_sync_is_an_error(out, monkeypatch):
    sync = os.fdatasync
    with serve_files({"/a.zip": CONTENT}) as server:
        spec = dataset(f"{server.url}/a.zip")

        def sync_and_go_on(handle):
            sync(handle)
            server.released.set()

        def fail(handle):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(partial_file, "_SYNC_BYTES", 300_000)
        monkeypatch.setattr(os, "fdatasync", sync_and_go_on)
        server.cut = lambda size: 400_000
        server.stall.set()
        with pytest.raises(KilledError):
            fetch(spec, out, part_bytes=len(CONTENT), pause=kill)
        server.cut = lambda size: None
        monkeypatch.setattr(partial_file, "_SYNC_BYTES", 10**9)
        monkeypatch.setattr(os, "fdatasync", fail)
        with pytest.raises(UserError, match="Can't write to .* Input/output error"):
            fetch(spec, out)
        assert 300_000 <= Journal(out / "a.zip.partial.journal").done <= 400_000
        monkeypatch.undo()
        fetch(spec, out)
    assert (out / "a.zip").read_bytes() == CONTENT


def test_a_partial_file_that_was_removed_without_its_journal_is_fetched_whole(out):
    with serve_files({"/a.zip": CONTENT}) as server:
        server.cut = lambda size: 150_000
        with pytest.raises(KilledError):
            fetch(dataset(f"{server.url}/a.zip", bytes=0, sha256=""), out, pause=kill)
        (out / "a.zip.partial").unlink()
        server.cut = lambda size: None
        fetch(dataset(f"{server.url}/a.zip", bytes=0, sha256=""), out)
    assert (out / "a.zip").read_bytes() == CONTENT


def test_a_journal_that_vanishes_can_still_be_closed(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "journal")
    monkeypatch.setattr(journals, "write_bytes", lambda path, content: path.unlink(missing_ok=True))
    with pytest.raises(FileNotFoundError):
        journal.restart(ABOUT, [])
    journal.close()


def test_the_journal_of_a_run_that_was_killed_as_the_file_got_its_name_is_removed(out, monkeypatch):
    replace = os.replace

    def replace_and_die(source, target):
        replace(source, target)
        if Path(target).name == "a.zip":
            raise KilledError

    with serve_files({"/a.zip": CONTENT}) as server:
        monkeypatch.setattr(os, "replace", replace_and_die)
        with pytest.raises(KilledError):
            fetch(dataset(f"{server.url}/a.zip"), out)
        monkeypatch.undo()
        assert "a.zip.partial.journal" in names(out)
        fetch(dataset(f"{server.url}/a.zip"), out)
    assert names(out) == ["a.zip", "download.json"]


def test_a_refusal_does_not_wait_for_stalled_workers(out):
    """One part stalls, another is refused: the error comes without waiting for the stalled one."""
    with serve_files({"/a.zip": CONTENT}) as server:
        first = [None, 50_000, None]
        server.stall.set()
        server.cut = lambda size: (
            (server.statuses.append(404) if len(first) == 2 else None) or (first.pop(0) if first else None)
        )
        begun = time.monotonic()
        with pytest.raises(UserError, match="HTTP 404"):
            fetch(dataset(f"{server.url}/a.zip"), out, connections=2, timeout_s=15)
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("name", ["closed", "closed/a.zip"])
def test_a_closed_folder_of_archives_is_named(name):
    user, root = os.geteuid(), Path(tempfile.mkdtemp())
    (root / "out").mkdir()
    (root / "closed").mkdir()
    (root / "closed" / "a.zip").write_bytes(CONTENT)
    (root / name).chmod(0)
    for path in (root, root / "out"):
        path.chmod(0o777)
    os.seteuid(65534 if user == 0 else user)  # permissions do not hold for root
    try:
        with pytest.raises(
            UserError, match=r"closed/a.zip, in a folder of \[store\] archives, can't be read: Perm"
        ):
            fetch(dataset(), root / "out" / "D", archives=[root / "closed"])
    finally:
        os.seteuid(user)
        (root / name).chmod(0o755)
        shutil.rmtree(root)
