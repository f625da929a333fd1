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


def test_a_dry_run_prints_the_table_and_writes_nothing(select, tmp_path):
    select(-1)
    dry = SelectSamples(dry_run=True)
    # It makes no dataset.
    assert not build(dry) and not list(tmp_path.glob("store/crops/*/shards"))
    made = SelectSamples()
    assert build(made)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    luigi.configuration.get_config().set("selection", "max_train", "2")
    luigi.task_register.Register.clear_instance_cache()
    dry = SelectSamples(dry_run=True)
    # With two workers, a process of its own makes the table.
    assert luigi.build([dry], workers=2, local_scheduler=True, no_lock=True, log_level="CRITICAL")
    luigi.configuration.get_config().remove_option("selection", "max_train")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    lines = dry.summary().split("\n")
    assert lines[-1] == "Nothing was written." and dry.exit_code() == 0
    cells = {line.split()[0] + line.split()[1]: int(line.split()[-1]) for line in lines[2:-1]}
    assert cells["fortraining"] == 2
    assert cells["max_train:over_cap"] == made.load_record()["totals"]["train"] - 2


def test_a_dry_run_that_leaves_nothing_says_so_by_its_exit_code(select, tmp_path):
    assert build(select(-1))
    config = luigi.configuration.get_config()
    config.set("selection", "rules", "contrast > 1000")
    luigi.task_register.Register.clear_instance_cache()
    dry = SelectSamples(dry_run=True)
    assert build(dry)
    config.remove_option("selection", "rules")
    assert dry.exit_code() == 3 and "No train crops are left" in dry.summary()


def test_without_leakage_no_benchmark_is_required(select):
    task = select(-1)
    assert task.requires()["benchmarks"] == [] and "Set5" not in repr(list_lines(task))
    assert build(task) and task.load_record()["totals"]["train"] > 0


def test_with_leakage_the_benchmarks_are_required(select):
    task = select(0)
    assert [one.dataset for one in task.requires()["benchmarks"]] == ["Set5"]
    assert "Set5" in repr(list_lines(task))
