"""Publish to a folder and fetch from it: equal bytes, the record last, and nothing half taken for whole."""

import json
import shutil
import threading

import pytest
from commands import files

from data.errors import UserError
from pipeline.dataset import read_all_records, read_manifest
from pipeline.publish.fetch import fetch, is_fetched, split_url
from pipeline.publish.file_list import Place, check_relative, find_place
from pipeline.publish.publish import publish
from pipeline.publish.remote import RemoteFolder, check_form
from pipeline.publish.settings import RemoteSettings
from pipeline.verify import verify_dataset

SETTINGS = RemoteSettings(connections=2, block_bytes=50_000, pause=lambda seconds: None)


@pytest.fixture
def crops(made, tmp_path):
    """A copy of the dataset in a store of its own, which tests may damage."""
    copy = tmp_path / "local" / "crops" / made[0].name
    shutil.copytree(made[0], copy)
    return copy


@pytest.fixture
def url(tmp_path):
    return f"file://{tmp_path}/remote"


def place_of(crops) -> Place:
    return find_place(str(crops))


def test_a_dataset_has_equal_bytes_after_the_round_trip(crops, url, tmp_path):
    (published,) = publish(crops, url, SETTINGS, read_back=True)
    assert published.files == published.sent_files == len(files(crops))
    fetched = fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)
    other = tmp_path / "other" / "crops" / crops.name
    assert files(other) == files(crops)
    assert fetched.bytes == fetched.fetched_bytes == sum(map(len, files(crops).values()))
    assert is_fetched(other, place_of(crops)) and not verify_dataset(other, "full")


def test_a_second_run_sends_and_fetches_nothing(crops, url, tmp_path):
    publish(crops, url, SETTINGS)
    (again,) = publish(crops, url, SETTINGS)
    assert (again.sent_files, again.sent_bytes) == (0, 0)
    shutil.rmtree(crops / "run" / "published")  # another host published it: the list says what is there
    (again,) = publish(crops, url, SETTINGS)
    assert again.sent_files == 0
    fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)
    fetched = fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)
    assert fetched.fetched_bytes == (crops / "dataset.json").stat().st_size


@pytest.mark.parametrize("lacks", ["dataset.json", "published.json"])
def test_a_half_published_dataset_is_refused_in_words(crops, url, tmp_path, lacks):
    publish(crops, url, SETTINGS)
    (tmp_path / "remote" / "crops" / crops.name / lacks).unlink()
    with pytest.raises(UserError, match=rf"is half published: it lacks {lacks}"):
        fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)
    assert not (tmp_path / "other").exists()
    publish(crops, url, SETTINGS)
    fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)


def test_a_run_that_stops_in_the_middle_leaves_no_record(crops, url, tmp_path):
    tar = sorted((crops / "shards").iterdir())[-1]
    content = tar.read_bytes()
    tar.write_bytes(content[:-1] + b"x")
    with pytest.raises(UserError, match="is damaged: its digest"):
        publish(crops, url, SETTINGS)
    remote = tmp_path / "remote" / "crops" / crops.name
    assert not (remote / "dataset.json").exists() and not (remote / "published.json").exists()
    tar.write_bytes(content)
    (published,) = publish(crops, url, SETTINGS)
    assert 0 < published.sent_files < published.files  # what had been sent was not sent again
    fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)
    assert files(tmp_path / "other" / "crops" / crops.name) == files(crops)


def test_publishing_anew_first_removes_the_record(crops, url, tmp_path):
    """A dataset whose files are being replaced is not whole; the tar that fails here shows the moment between."""
    publish(crops, url, SETTINGS)
    (tmp_path / "remote" / "crops" / crops.name / "shards" / "train-000000.tar").unlink()
    tar = crops / "shards" / "train-000000.tar"
    tar.write_bytes(bytes(tar.stat().st_size))
    with pytest.raises(UserError, match="is damaged"):
        publish(crops, url, SETTINGS)
    with pytest.raises(UserError, match="half published: it lacks dataset.json"):
        fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)


def test_damage_at_the_url_is_found_when_reading_back_and_when_fetching(crops, url, tmp_path):
    publish(crops, url, SETTINGS)
    tar = tmp_path / "remote" / "crops" / crops.name / "shards" / "train-000001.tar"
    content = tar.read_bytes()
    tar.write_bytes(content[:600] + b"x" + content[601:])
    with pytest.raises(UserError, match=r"train-000001.tar has other bytes than its list says"):
        fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)
    other = tmp_path / "other" / "crops" / crops.name
    assert not (other / "dataset.json").exists() and not (other / "shards" / "train-000001.tar").exists()
    tar.write_bytes(content[:-512])
    with pytest.raises(UserError, match="ends after"):
        fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)
    tar.write_bytes(content[:600] + b"x" + content[601:])
    with pytest.raises(UserError, match="has other bytes than were sent"):
        publish(crops, url, SETTINGS, read_back=True)
    publish(crops, url, SETTINGS, read_back=True)
    fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)
    assert files(other) == files(crops)


def test_nothing_is_removed_while_other_files_are_still_read_back(crops, url, tmp_path, monkeypatch):
    publish(crops, url, SETTINGS)
    tar = tmp_path / "remote" / "crops" / crops.name / "shards" / "train-000000.tar"
    content = tar.read_bytes()
    tar.write_bytes(content[:600] + b"x" + content[601:])
    removed = []

    def remove(self, path):
        assert not [one.name for one in threading.enumerate() if one.name.startswith("transfer")]
        removed.append(path.rpartition("/")[2])

    monkeypatch.setattr(RemoteFolder, "remove", remove)
    with pytest.raises(UserError, match="has other bytes than were sent"):
        publish(crops, url, SETTINGS, read_back=True)
    assert removed == ["dataset.json", "train-000000.tar"]


def test_a_fetch_goes_on_within_a_file_and_discards_foreign_bytes(crops, url, tmp_path):
    publish(crops, url, SETTINGS)
    other = tmp_path / "other" / "crops" / crops.name
    tar = (crops / "shards" / "train-000000.tar").read_bytes()
    (other / "shards").mkdir(parents=True)
    (other / "shards" / ".train-000000.tar.fetch").write_bytes(tar[:70_000])
    (other / "shards" / ".train-000001.tar.fetch").write_bytes(b"of another file")
    (other / "shards" / ".train-000002.tar.fetch").write_bytes(bytes(2_000_000))
    fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)
    assert files(other) == files(crops)


def test_a_selection_brings_the_shards_it_reads_and_no_others(made, url, tmp_path):
    crops, selection = made
    published = publish(selection, url, SETTINGS)
    assert [one.directory for one in published] == [f"crops/{crops.name}", f"selections/{selection.name}"]
    root = tmp_path / "other"
    fetch(f"{url}/selections/{selection.name}", root, SETTINGS)
    there = root / "selections" / selection.name
    assert is_fetched(there, find_place(str(there)))
    record = json.loads((there / "selection.json").read_text())
    for shard in (one for shards in record["splits"].values() for one in shards):
        assert (there / shard["tar"]).read_bytes() == (selection / shard["tar"]).read_bytes()
    used = {shard["tar"] for shards in record["splits"].values() for shard in shards}
    assert len(list((root / "cache").iterdir())) == len(used) < len(list((crops / "shards").iterdir()))
    assert not (root / "crops" / crops.name / "dataset.json").exists()
    # A lost shard is noticed and fetched alone.
    lost = next((root / "cache").iterdir())
    lost.unlink()
    assert not is_fetched(there, find_place(str(there)))
    fetched = fetch(f"{url}/selections/{selection.name}", root, SETTINGS)
    assert fetched.fetched_bytes < lost.stat().st_size + 1_000_000 and is_fetched(
        there, find_place(str(there))
    )
    # The dataset itself then has files of its own, not links that the cache may lose.
    fetch(f"{url}/crops/{crops.name}", root, SETTINGS)
    shutil.rmtree(root / "cache")
    assert not verify_dataset(root / "crops" / crops.name, "full")


def test_the_cache_has_a_limit(made, url, tmp_path):
    _, selection = made
    publish(selection, url, SETTINGS)
    root = tmp_path / "other"
    (root / "cache").mkdir(parents=True)
    (root / "cache" / "old.tar").write_bytes(bytes(5000))
    small = RemoteSettings(connections=2, cache_bytes=1000)
    with pytest.raises(UserError, match="cache_gb allows 1000"):
        fetch(f"{url}/selections/{selection.name}", root, small)
    assert (root / "cache" / "old.tar").exists()
    needed = json.loads((selection / "selection.json").read_text())["splits"]
    size = sum({one["tar"]: one["tar_bytes"] for shards in needed.values() for one in shards}.values())
    exact = RemoteSettings(connections=2, cache_bytes=size + 4999)
    assert fetch(f"{url}/selections/{selection.name}", root, exact).evicted == 1
    assert not (root / "cache" / "old.tar").exists()


def test_a_list_that_leads_out_of_its_directory_is_refused(crops, url, tmp_path):
    publish(crops, url, SETTINGS)
    path = tmp_path / "remote" / "crops" / crops.name / "published.json"
    path.write_text(path.read_text().replace("README.md", "../../README.md"))
    with pytest.raises(UserError, match="names a file outside of its directory: '../../README.md'"):
        fetch(f"{url}/crops/{crops.name}", tmp_path / "other", SETTINGS)


@pytest.mark.parametrize("path", ["/etc/x", "a/../../x", "run/x", ".hidden", "a/.srf-1.part", "", "a\\b"])
def test_unsafe_paths(path):
    with pytest.raises(UserError, match="outside of its directory"):
        check_relative(path, "published.json")


def test_what_is_not_published_is_answered_with_what_is(crops, url, tmp_path):
    publish(crops, url, SETTINGS)
    with pytest.raises(UserError, match=rf"Nothing is published at .*There are: {crops.name}"):
        fetch(f"{url}/crops/Other-0123456789ab", tmp_path / "other", SETTINGS)
    with pytest.raises(UserError, match="does not end with a published directory"):
        split_url(url)


def test_strays_at_the_url_are_named(crops, url, tmp_path):
    publish(crops, url, SETTINGS)
    (tmp_path / "remote" / "crops" / crops.name / "shards" / "train-999999.tar").write_bytes(b"")
    (published,) = publish(crops, url, SETTINGS)
    assert published.strays == ("shards/train-999999.tar",)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://me:verysecret@bucket/x", "has a user, a password"),
        ("s3://bucket/x?X-Amz-Signature=verysecret", "or a query"),
        ("ftp://host/verysecret", "no URL of a store"),
        ("bucket/x", "no URL of a store"),
    ],
)
def test_urls_with_credentials_and_of_other_kinds_are_refused(url, said):
    with pytest.raises(UserError, match=said) as error:
        check_form(url)
    assert "verysecret" not in str(error.value) or "ftp" in url


def test_hugging_face_datasets_opens_the_url_by_dataset(crops, url, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    publish(crops, url, SETTINGS)
    cache = str(tmp_path / "hf")
    loaded = datasets.load_dataset(str(tmp_path / "remote"), crops.name, cache_dir=cache)
    records = list(read_all_records(crops, read_manifest(crops).shards))
    assert sum(len(split) for split in loaded.values()) == len(records)
    assert loaded["train"][0]["png"].size == (128, 128)


def test_a_card_by_another_author_stays(crops, url, tmp_path):
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / "README.md").write_text("mine")
    (published,) = publish(crops, url, SETTINGS)
    assert "stays as it is" in published.note
    assert (tmp_path / "remote" / "README.md").read_text() == "mine"
