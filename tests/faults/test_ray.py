"""A Ray cluster packs the shards: the same bytes, and mistakes in one line. tests/faults/ray_nodes.py kills a node."""

import dataclasses
import sys

import pytest
from commands import files, luigi
from crop_datasets import store
from failures import assert_one_error_line

from data.code_hash import hash_code
from data.errors import UserError
from data.video.sampling_settings import FrameSamplingSettings
from pipeline import ray_engine
from tasks.crop_settings import pack_settings
from tasks.crops import MakeCrops

ON_RAY = ("--cluster-engine", "ray", "--cluster-ray-address")


@pytest.fixture
def has_ray():
    pytest.importorskip("ray", reason="Ray is not installed")


def test_the_bytes_are_those_of_luigis_own_workers(has_ray, options, undisturbed, tmp_path):
    """On a cluster of this process: `local` starts one."""
    made = luigi(tmp_path / "ray", "MakeCrops", *options, *ON_RAY, "local", "--cluster-ray-memory-gb", "0.1")
    assert made.returncode == 0 and " shards packed on " in made.stdout, made.stderr
    assert files(tmp_path / "ray") == undisturbed


def test_a_cluster_that_does_not_answer_is_named(has_ray, options, tmp_path):
    failed = luigi(tmp_path / "ray", "MakeCrops", *options, *ON_RAY, "auto")
    assert_one_error_line(
        failed, "no Ray cluster answers at 'auto'", "ray start --head", "[cluster] ray_address"
    )


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        UserError, match=r"engine is ray, but ray is not installed here. Run: pip install .*\[ray\]"
    ):
        ray_engine._import_ray()


def test_a_node_that_differs_is_named_and_packs_nothing(photo_folder, tmp_path):
    with store(tmp_path / "store"):
        task = MakeCrops(dataset=str(photo_folder))
        job = ray_engine.ShardJob(
            plan_dir=tmp_path,
            directory=tmp_path / "crops",
            dataset=task.dataset_spec,
            files=(),
            alpha="refuse",
            videos=FrameSamplingSettings(),
            settings=pack_settings(),
        )
    other = ray_engine.pack_on_node(job, "train-000000", "another program")
    assert "the program is another one" in str(other.error) and str(other.error).startswith(
        f"On {other.host}: "
    )
    without_store = dataclasses.replace(job, plan_dir=tmp_path / "none")
    bare = ray_engine.pack_on_node(without_store, "train-000000", hash_code(ray_engine.CODE))
    assert f"there is no {tmp_path}/none. Mount the store" in str(bare.error)
    assert not (tmp_path / "crops").exists()
