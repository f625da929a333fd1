"""Run PublishDataset and FetchDataset from the command line, and train on a selection at a URL."""

import luigi as luigi_library
import pytest
from commands import files, luigi
from crop_datasets import build, store

from data.errors import UserError
from tasks import FetchDataset, FullPipeline, MakeCrops, PublishDataset, SelectSamples, TrainModel

OPTIONS = ["--crops-size-px", "128", "--crops-crops-per-shard", "20"]


@pytest.fixture
def config():
    """Set keys of luigi.cfg for the length of a test."""
    changed = []

    def change(section: str, name: str, value: str) -> None:
        luigi_library.configuration.get_config().set(section, name, value)
        luigi_library.task_register.Register.clear_instance_cache()
        changed.append((section, name))

    yield change
    for section, name in changed:
        luigi_library.configuration.get_config().remove_option(section, name)
    luigi_library.task_register.Register.clear_instance_cache()


def test_publish_and_fetch_from_the_command_line(tmp_path):
    url = f"file://{tmp_path}/remote"
    published = luigi(tmp_path / "a", "PublishDataset", "--dataset", "Sample_tiny", "--url", url, *OPTIONS)
    assert published.returncode == 0, published.stderr
    (crops,) = (tmp_path / "a" / "crops").iterdir()
    assert f"Published: {url}/crops/{crops.name}" in published.stdout
    fetched = luigi(tmp_path / "b", "FetchDataset", "--url", f"{url}/crops/{crops.name}")
    assert fetched.returncode == 0, fetched.stderr
    assert "all verified" in fetched.stdout
    again = luigi(tmp_path / "b", "FetchDataset", "--url", f"{url}/crops/{crops.name}", "--workers", "2")
    assert again.returncode == 0 and "It was there already" in again.stdout, again.stdout
    assert files(tmp_path / "b" / "crops") == files(tmp_path / "a" / "crops")
    # What was fetched counts as made.
    with store(tmp_path / "b", crops_per_shard="20", validation_fraction="0.02"):
        assert MakeCrops(dataset="Sample_tiny").complete()
    (tmp_path / "remote" / "crops" / crops.name / "dataset.json").unlink()
    refused = luigi(tmp_path / "c", "FetchDataset", "--url", f"{url}/crops/{crops.name}")
    assert refused.returncode == 30 and "is half published" in refused.stderr


def test_credentials_in_a_url_are_refused_before_they_are_printed(tmp_path):
    refused = luigi(tmp_path / "a", "FetchDataset", "--url", "s3://me:verysecret@bucket/x")
    assert refused.returncode == 40 and "a password" in refused.stderr
    assert "verysecret" not in refused.stdout + refused.stderr
    for task in (FetchDataset, PublishDataset):
        with pytest.raises(UserError, match="a password"):
            task(url="s3://me:verysecret@bucket/x")


def test_a_published_selection_gives_the_same_training(tmp_path, config):
    for name, value in (("datasets", "Sample_tiny"), ("leakage_bits", "-1")):
        config("selection", name, value)
    url = f"file://{tmp_path}/remote"
    with store(tmp_path / "a", crops_per_shard="20"):
        selection = SelectSamples()
        assert build(selection)
        assert build(PublishDataset(result=str(selection.directory()), url=url))
        here, name = TrainModel().directory_name, selection.directory().name
        assert not list(selection.directory().parent.glob(".srf*"))
    config("selection", "url", f"{url}/selections/{name}")
    with store(tmp_path / "b"):
        needed = TrainModel().requires()["selection"]
        assert isinstance(needed, FetchDataset) and not needed.complete()
        assert TrainModel().directory_name == here
        assert build(needed) and needed.complete()
        assert (tmp_path / "b" / "selections" / name / "selection.json").is_file()
        with pytest.raises(UserError, match="FullPipeline reports on datasets of this store"):
            FullPipeline().requires()


@pytest.mark.parametrize("result", ["", "work/nothing"])
def test_what_cannot_be_published_is_said(tmp_path, result):
    with store(tmp_path):
        task = PublishDataset(url="file:///tmp/x", result=result)
        with pytest.raises(UserError, match="needs either --dataset or --result|can be published"):
            task.requires()
            task.make()


def test_a_dataset_needs_to_be_made_first(tmp_path):
    with store(tmp_path):
        assert PublishDataset(dataset="DIV2K", url="file:///tmp/x").requires() == {
            "dataset": MakeCrops(dataset="DIV2K")
        }
