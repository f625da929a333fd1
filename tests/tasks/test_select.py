"""Test which datasets a selection requires."""

import luigi
import pytest
from crop_datasets import build, store

from tasks.runtime.status import list_lines
from tasks.select import SelectSamples


@pytest.fixture
def select(photo_folder, tmp_path):
    """Return a function that gives the selection of a folder with a limit of leakage; the benchmark can't be had."""
    config = luigi.configuration.get_config()
    values = {("selection", "datasets"): str(photo_folder), ("evaluation", "benchmarks"): "Set5"}

    def make_task(leakage_bits):
        config.set("selection", "leakage_bits", str(leakage_bits))
        luigi.task_register.Register.clear_instance_cache()
        return SelectSamples()

    with store(tmp_path / "store"):
        for (section, name), value in values.items():
            config.set(section, name, value)
        yield make_task
        for section, name in [*values, ("selection", "leakage_bits")]:
            config.remove_option(section, name)


def test_without_leakage_no_benchmark_is_required(select):
    task = select(-1)
    assert task.requires()["benchmarks"] == [] and "Set5" not in repr(list_lines(task))
    assert build(task) and task.load_record()["totals"]["train"] > 0


def test_with_leakage_the_benchmarks_are_required(select):
    task = select(0)
    assert [one.dataset for one in task.requires()["benchmarks"]] == ["Set5"]
    assert "Set5" in repr(list_lines(task))
