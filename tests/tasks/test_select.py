"""Test which datasets a selection requires."""

import luigi
import pyarrow.parquet
import pytest
from crop_datasets import build, store
from images import textured
from PIL import Image

from data.dali_index import read_index
from data.errors import UserError
from pipeline.selection.select_samples import read_selection
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


def test_as_many_caps_as_datasets_are_asked_for(select):
    select(-1)
    config = luigi.configuration.get_config()
    config.set("selection", "max_per_dataset", "5,6")
    luigi.task_register.Register.clear_instance_cache()
    with pytest.raises(UserError, match="has 1 datasets, but 2 caps in max_per_dataset"):
        SelectSamples().settings()
    config.remove_option("selection", "max_per_dataset")


def test_without_leakage_no_benchmark_is_required(select):
    task = select(-1)
    assert task.requires()["benchmarks"] == [] and "Set5" not in repr(list_lines(task))
    assert build(task) and task.load_record()["totals"]["train"] > 0


def test_with_leakage_the_benchmarks_are_required(select):
    task = select(0)
    assert [one.dataset for one in task.requires()["benchmarks"]] == ["Set5"]
    assert "Set5" in repr(list_lines(task))


def images_of(task, split):
    """Return the images that a split has crops of; a copy has the name of its original."""
    (crops,) = (one.directory() for one in task.datasets)
    table = pyarrow.parquet.read_table(crops / "dataset.parquet", columns=["key", "source"]).to_pydict()
    sources = dict(zip(table["key"], table["source"], strict=True))
    shards = read_selection(task.directory()).splits[split]
    lines = [line for one in shards for line in read_index(task.directory() / one.index)]
    return {sources[line.key].rpartition("/")[2].partition(".")[0].partition("-")[0] for line in lines}


def test_a_folder_with_a_copy_of_each_image_has_none_on_both_sides(tmp_path):
    """The copies are other PNGs, JPEGs or smaller, in a folder of their own."""
    photos = tmp_path / "photos"
    (photos / "again").mkdir(parents=True)
    for number in range(9):
        image = Image.fromarray(textured(number, 288, 300))
        image.save(photos / f"{number}.png", compress_level=9)
        copy = image.resize((270, 259)) if number % 3 == 2 else image
        options = {"quality": 90} if number % 3 == 1 else {"compress_level": 1}
        copy.save(photos / "again" / f"{number}-copy.{'jpg' if number % 3 == 1 else 'png'}", **options)
    config = luigi.configuration.get_config()
    values = {"datasets": str(photos), "leakage_bits": "-1", "max_validation": "0"}
    off = {"copy_bits": "-1", "near_duplicate_bits": "-1", "group_bits": "-1"}
    shared = []
    with store(tmp_path / "store", validation_fraction="0.4", max_noise="0"):
        for settings in (values | off, values):
            for name, value in settings.items():
                config.set("selection", name, value)
            luigi.task_register.Register.clear_instance_cache()
            task = SelectSamples()
            assert build(task)
            shared.append(images_of(task, "train") & images_of(task, "validation"))
            for name in settings:
                config.remove_option("selection", name)
    assert len(shared[0]) >= 3 and not shared[1]
