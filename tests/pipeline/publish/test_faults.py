"""Publish to an S3 server that fails, and fetch from it: retried, or reported in words; no credentials anywhere."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from buckets import BUCKET, CREDENTIALS
from commands import files

from data.errors import UserError
from pipeline.publish import faults
from pipeline.publish.fetch import fetch
from pipeline.publish.publish import publish
from pipeline.publish.remote import RemoteFolder
from pipeline.publish.settings import RemoteSettings

_numbers = itertools.count()


@pytest.fixture
def url():
    return f"s3://{BUCKET}/store-{next(_numbers)}"


@pytest.fixture
def waits():
    return []


@pytest.fixture
def settings(bucket, waits):
    return RemoteSettings(
        connections=4, endpoint_url=bucket.url, timeout_s=5, block_bytes=100_000, pause=waits.append
    )


@pytest.fixture
def crops(made, tmp_path):
    copy = tmp_path / "local" / "crops" / made[0].name
    shutil.copytree(made[0], copy, ignore=shutil.ignore_patterns("published"))
    return copy


def test_a_bucket_gives_equal_bytes_through_all_faults_that_pass(crops, bucket, url, settings, tmp_path):
    """Every fourth request fails in one way or another."""
    kinds = itertools.cycle([None, None, None, "500", None, None, None, "cut", None, None, None, "503"])
    bucket.fault = lambda method, path: next(kinds)
    publish(crops, url, settings, read_back=True)
    fetch(f"{url}/crops/{crops.name}", tmp_path / "other", settings)
    assert files(tmp_path / "other" / "crops" / crops.name) == files(crops)


def test_a_server_that_stays_broken_is_reported_and_the_next_run_goes_on(crops, bucket, url, settings, waits):
    bucket.fault = lambda method, path: "500" if method == "PUT" and "shards/train-000002" in path else None
    with pytest.raises(UserError, match=r"train-000002.tar failed 5 times in a row, last with") as error:
        publish(crops, url, settings)
    assert "Run the same command again" in str(error.value) and len(waits) >= 4
    assert bucket.count("PUT", "/dataset.json") == bucket.count("PUT", "/published.json") == 0
    bucket.fault = lambda method, path: None
    bucket.seen.clear()
    (published,) = publish(crops, url, settings)
    assert published.sent_files < published.files and bucket.count("PUT", "shards/train-000000") == 0
    order = [path.rpartition("/")[2].partition("?")[0] for method, path in bucket.seen if method == "PUT"]
    assert order.index("published.json") + 1 == order.index("dataset.json")
    assert order.index("train-000002.tar") < order.index("published.json")


def test_a_silent_server_is_given_up_and_asked_again(crops, bucket, url, settings, tmp_path):
    publish(crops, url, settings)
    silent = iter([True])
    bucket.fault = lambda method, path: (
        "silent" if "train-000001.tar" in path and next(silent, False) else None
    )
    impatient = RemoteSettings(endpoint_url=bucket.url, timeout_s=0.5, pause=lambda seconds: None)
    fetch(f"{url}/crops/{crops.name}", tmp_path / "other", impatient)
    assert files(tmp_path / "other" / "crops" / crops.name) == files(crops)


def test_a_fetch_that_is_cut_off_goes_on_within_the_file(crops, bucket, url, settings, tmp_path):
    publish(crops, url, settings)
    served = itertools.count()
    bucket.fault = lambda method, path: "500" if "train-000000.tar" in path and next(served) >= 2 else None
    with pytest.raises(UserError, match="train-000000.tar failed 5 times"):
        fetch(f"{url}/crops/{crops.name}", tmp_path / "other", settings)
    other = tmp_path / "other" / "crops" / crops.name
    assert (other / "shards" / ".train-000000.tar.fetch").stat().st_size == 200_000
    assert not (other / "dataset.json").exists()
    bucket.fault = lambda method, path: None
    bucket.sent.clear()
    fetch(f"{url}/crops/{crops.name}", tmp_path / "other", settings)
    assert files(other) == files(crops)
    assert sum(bucket.sent) < sum(map(len, files(crops).values())) - 200_000 + 50_000


@pytest.fixture
def large(tmp_path):
    """Return a file that is sent in three parts."""
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(11 << 20))
    return path


@pytest.fixture
def folder(url, bucket, waits):
    return RemoteFolder(
        url, RemoteSettings(endpoint_url=bucket.url, timeout_s=5, part_bytes=5 << 20, pause=waits.append)
    )


def test_a_large_file_whose_last_reply_is_lost_is_taken_as_sent(folder, bucket, large):
    """As MinIO does it: asked once more to complete what it has completed, it knows of no such upload."""
    ends = iter(["cut", "NoSuchUpload"])
    bucket.fault = lambda method, path: next(ends, None) if method == "POST" and "uploadId=" in path else None
    assert folder.send(large, "large.bin").bytes == large.stat().st_size
    assert next(ends, None) is None and bucket.count("PUT", "partNumber") == 3
    assert folder.read_block("large.bin", 0, 11 << 20) == large.read_bytes()


def test_a_large_file_whose_upload_is_forgotten_is_sent_again(folder, bucket, large):
    folder.send(large, "large.bin")
    large.write_bytes(os.urandom(11 << 20))
    bucket.seen.clear()
    ends = iter(["NoSuchUpload"])
    bucket.fault = lambda method, path: next(ends, None) if method == "POST" and "uploadId=" in path else None
    folder.send(large, "large.bin")
    assert bucket.count("PUT", "partNumber") == 6
    assert folder.read_block("large.bin", 0, 11 << 20) == large.read_bytes()


def test_of_a_large_file_only_the_part_that_failed_is_sent_again(folder, bucket, large, waits):
    fails = iter(["500", "503"])
    bucket.fault = lambda method, path: next(fails, None) if "partNumber=2" in path else None
    folder.send(large, "large.bin")
    parts = [path.partition("partNumber=")[2][0] for method, path in bucket.seen if method == "PUT"]
    assert parts == ["1", "2", "2", "2", "3"] and len(waits) == 2
    assert folder.read_block("large.bin", 0, 11 << 20) == large.read_bytes()


def test_a_large_file_that_cannot_be_sent_leaves_no_upload(folder, bucket, large):
    bucket.fault = lambda method, path: "500" if "partNumber=2" in path else None
    with pytest.raises(UserError, match=r"large.bin failed 5 times in a row"):
        folder.send(large, "large.bin")
    assert [method for method, path in bucket.seen if "upload" in path][-1] == "DELETE"
    assert folder.find_file("large.bin") is None


def test_a_killed_publication_is_never_whole_and_goes_on(crops, bucket, url, settings, tmp_path):
    """kill -9 while the third tar is on its way."""
    script = (
        "import sys; from pathlib import Path; from pipeline.publish.publish import publish;"
        "from pipeline.publish.settings import RemoteSettings as S;"
        "publish(Path(sys.argv[1]), sys.argv[2], S(endpoint_url=sys.argv[3], connections=1))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(crops), url, bucket.url],
        cwd=Path(__file__).parents[3],
        env=os.environ | CREDENTIALS,
    )

    def kill(method: str, path: str) -> None:
        if method == "PUT" and "shards/train-000002" in path:
            process.send_signal(signal.SIGKILL)

    bucket.fault = kill
    assert process.wait(60) == -signal.SIGKILL
    bucket.fault = lambda method, path: None
    with pytest.raises(UserError, match="is half published: it lacks published.json and dataset.json"):
        fetch(f"{url}/crops/{crops.name}", tmp_path / "other", settings)
    bucket.seen.clear()
    publish(crops, url, settings)
    assert bucket.count("PUT", "shards/train-000000.tar") == 0
    fetch(f"{url}/crops/{crops.name}", tmp_path / "other", settings)
    assert files(tmp_path / "other" / "crops" / crops.name) == files(crops)


def test_a_bucket_that_is_not_there_and_rights_that_lack_are_reported(crops, bucket, url, settings):
    with pytest.raises(UserError, match="can't be written: .*Make the bucket first"):
        publish(crops, "s3://nowhere/store", settings)
    bucket.fault = lambda method, path: "403" if method == "PUT" else None
    with pytest.raises(UserError, match="refuses access: .*Check the credentials") as error:
        publish(crops, url, settings)
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(error.value)


def test_no_credentials_get_into_words(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=c2VjcmV0")
    error = OSError("s3://me:pass@host/x?sig=abc said AccountKey=c2VjcmV0 is wrong")
    said = faults.describe(error)
    assert "c2VjcmV0" not in said and "pass" not in said and "abc" not in said and "is wrong" in said


def test_the_journal_ignores_a_line_that_a_kill_cut_short(crops, bucket, url, settings):
    publish(crops, url, settings)
    (journal,) = (crops / "run" / "published").iterdir()
    lines = [line for line in journal.read_text().split("\n") if line]
    assert all(json.loads(line) for line in lines)
    journal.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:9])
    assert publish(crops, url, settings)[0].sent_files == 0
