"""A small store to publish, made once by the tasks themselves, and an S3 server."""

import os

import luigi
import pytest
from buckets import CREDENTIALS, serve_bucket
from crop_datasets import build, store

from tasks.crops import MakeCrops
from tasks.select import SelectSamples

SELECTION = {"datasets": "Sample_tiny", "leakage_bits": "-1", "max_train": "3", "max_validation": "8"}


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return the directories of a dataset and of a selection of some of its crops."""
    config = luigi.configuration.get_config()
    for name, value in SELECTION.items():
        config.set("selection", name, value)
    try:
        with store(tmp_path_factory.mktemp("made"), crops_per_shard="20"):
            assert build(SelectSamples())
            return MakeCrops(dataset="Sample_tiny").directory(), SelectSamples().directory()
    finally:
        for name in SELECTION:
            config.remove_option("selection", name)
        luigi.task_register.Register.clear_instance_cache()


@pytest.fixture(scope="module")
def server():
    with serve_bucket() as proxy:
        before = dict(os.environ)
        os.environ.update(CREDENTIALS)
        yield proxy
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def bucket(server):
    """The S3 server without faults."""
    server.fault = lambda method, path: None
    server.seen.clear()
    server.sent.clear()
    yield server
    server.fault = lambda method, path: None
    server.released.set()
    server.released.clear()
