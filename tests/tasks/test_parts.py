"""Crops that show parts of benchmark and validation images go out of a selection, and no others."""

import collections
import json

import cv2
import luigi
import numpy as np
import pytest
from crop_datasets import build, store
from images import textured
from luigi.task import flatten

from data.atomic_files import read_jsonl
from data.dali_index import read_index
from pipeline.selection.part_duplicates import read_duplicates
from pipeline.selection.part_records import read_parts, read_parts_record
from tasks.crops import MakeCrops
from tasks.duplicates import FindDuplicates
from tasks.index import IndexSource
from tasks.parts import DescribeCrops, MatchParts
from tasks.select import SelectSamples

CONFIG = {
    ("crops", "policy"): "grid",
    ("crops", "grid_step_px"): "128",
    ("crops", "grid_min_rest_px"): "32",
    ("crops", "downscale_factors"): "1",
    ("selection", "near_duplicate_bits"): "-1",
}


def hidden(image):
    """Return a large image of something else, with the mirrored middle of an image on its left side."""
    large = textured(77, 384, 768)
    part = image[20:276, 60:316][:, ::-1]
    large[60:316, 20:276] = part
    return large


@pytest.fixture
def folders(tmp_path):
    """Give a benchmark of two images, photos of which two hold parts of them, and windows of other photos, turned."""
    files = {f"photos/{seed}.png": textured(seed, 256, 384) for seed in range(10, 18)}
    files |= {f"bench/{seed}.png": textured(seed, 300, 400) for seed in (1, 2)}
    files["photos/hidden.png"] = hidden(files["bench/1.png"])
    files["photos/window.png"] = cv2.resize(files["bench/2.png"][100:228, 200:328], (192, 192))
    for seed in range(10, 18):
        files[f"more/of-{seed}.png"] = np.rot90(files[f"photos/{seed}.png"][40:256, 100:320])
    for name, image in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), image)
    return tmp_path


@pytest.fixture
def select(folders):
    """Return a function that gives the task SelectSamples of some of the folders."""
    config = luigi.configuration.get_config()
    used = set(CONFIG)

    def make_task(datasets, parts="on", benchmark="bench", store_name="store", **arguments):
        values = {
            ("selection", "datasets"): ",".join(str(folders / name) for name in datasets),
            ("selection", "parts"): parts,
            ("evaluation", "benchmarks"): str(folders / benchmark),
            ("store", "root"): str(folders / store_name),
        }
        for (section, name), value in values.items():
            config.set(section, name, value)
        used.update(values)
        luigi.task_register.Register.clear_instance_cache()
        return SelectSamples(**arguments)

    with store(folders / "store"):
        for (section, name), value in CONFIG.items():
            config.set(section, name, value)
        yield make_task
        for section, name in used - {("store", "root")}:
            config.remove_option(section, name)


def rejected(task):
    """Return the rejections of a selection by key."""
    return {line["id"]: line for line in read_jsonl(task.directory() / "rejections.jsonl")}


def test_crops_that_show_parts_of_a_benchmark_go_out_and_are_named(select):
    task = select(["photos"])
    assert build(task), "see the log"
    record = task.load_record()
    parts = read_parts(MatchParts().directory())
    leaks = [one for one in parts if one.benchmark]
    # Of hidden.png, the three rows of crops at the left show it; one more column begins within it.
    by_source = collections.Counter(one.source for one in leaks)
    assert set(by_source) == {"hidden.png", "window.png"} and by_source["window.png"] >= 1
    assert 6 <= by_source["hidden.png"] <= 9
    assert {(one.source, one.target) for one in leaks} == {
        ("hidden.png", "bench/1.png"), ("window.png", "bench/2.png"),
    }  # fmt: skip
    assert record["rejections"]["leakage"] == len(leaks)
    pairs = {pair["target"]: pair for pair in record["part_pairs"] if pair["benchmark"]}
    assert pairs["bench/1.png"]["crops"] == by_source["hidden.png"] and pairs["bench/1.png"]["inliers"] >= 8
    totals = read_parts_record(MatchParts().directory()).totals
    assert totals["shows_benchmark"] == len(leaks) and "0 crops are too plain" in MatchParts().summary()
    assert record["part_pairs_total"] == len(record["part_pairs"])
    assert "shows a part of bench/1.png" in rejected(task)[leaks[0].key]["detail"]
    kept = [
        line.key
        for shards in record["splits"].values()
        for shard in shards
        for line in read_index(task.directory() / shard["index"])
    ]
    assert not {one.key for one in parts} & set(kept)


def test_training_crops_that_show_parts_of_validation_images_go_out(select):
    task = select(["photos", "more"])
    assert build(task)
    table = {}
    for number, name in enumerate(["photos", "more"]):
        directory = MakeCrops(dataset=str(task.datasets[number].dataset)).directory()
        for path in sorted((directory / "manifest").glob("*[0-9].jsonl")):
            for line in read_jsonl(path):
                table[number, line["key"]] = (name, line["source"], line["split"])
    validated = {
        source for name, source, split in table.values() if (name, split) == ("photos", "validation")
    }
    assert validated
    shown = [one for one in read_parts(MatchParts().directory()) if not one.benchmark]
    # The window of a validation image is out wherever it is for training, and nothing else is.
    expected = {
        place
        for place, (name, source, split) in table.items()
        if (name, split) == ("more", "train") and source.removeprefix("of-") in validated
    }
    found = {(one.dataset, one.key) for one in shown if one.dataset == 1}
    assert found == expected and expected
    assert {one.target for one in shown if one.dataset == 1} <= validated
    assert all(one.like in {key for _, key in table} for one in shown)
    assert task.load_record()["rejections"]["shows_validation"] > 0


def test_any_number_of_processes_gives_the_same_bytes_and_a_killed_search_goes_on(select):
    task = select(["photos"])
    assert build(task)
    directory = MatchParts().directory()
    before = read_all(directory)
    shards = sorted((directory / "shards").iterdir())
    kept = shards[0].stat().st_mtime_ns
    (directory / "parts.json").unlink()
    shards[-1].unlink()
    assert build(again(MatchParts))
    assert read_all(directory) == before and shards[0].stat().st_mtime_ns == kept
    features = DescribeCrops(dataset=task.datasets[0].dataset).directory()
    contents = read_all(features), task.record_path().read_bytes()

    other = select(["photos"], store_name="other")
    assert luigi.build([other], workers=2, local_scheduler=True, no_lock=True, log_level="CRITICAL")
    assert read_all(MatchParts().directory()) == before
    described = DescribeCrops(dataset=other.datasets[0].dataset)
    assert (read_all(described.directory()), other.record_path().read_bytes()) == contents

    path = sorted(described.directory().glob("train*.npy"))[0]
    path.write_bytes(path.read_bytes()[:-1])
    for one in (MatchParts().record_path(), *(MatchParts().directory() / "shards").iterdir()):
        one.unlink()
    failures = []
    luigi.Task.event_handler(luigi.Event.FAILURE)(lambda task, error: failures.append(str(error)))
    assert not build(again(MatchParts))
    assert any(f"{path} is missing or damaged" in text for text in failures)


def read_all(directory):
    """Return the bytes of the files of a directory by name."""
    return {
        path.name: path.read_bytes()
        for path in directory.rglob("*")
        if path.suffix != ".part" and path.is_file()
    }


def again(kind):
    """Return a task as another program run would make it."""
    luigi.task_register.Register.clear_instance_cache()
    return kind()


def test_auto_compares_where_there_are_benchmarks_and_photographs(select):
    config = luigi.configuration.get_config()
    config.set("selection", "leakage_bits", "-1")
    try:
        assert select(["photos"], "auto").requires()["parts"] == []
        assert len(select(["photos"], "on").requires()["parts"]) == 1
    finally:
        config.remove_option("selection", "leakage_bits")
    assert select(["photos"], "off").requires()["parts"] == []
    assert len(select(["photos"], "auto").requires()["parts"]) == 1
    config.set("selection", "datasets", "Sample")
    luigi.task_register.Register.clear_instance_cache()
    assert SelectSamples().requires()["parts"] == []


def test_a_dry_run_asks_for_the_matches_first(select, capsys):
    off = select(["photos"], "off")
    assert build(off)
    failures = []
    luigi.Task.event_handler(luigi.Event.FAILURE)(lambda task, error: failures.append(str(error)))
    assert not build(select(["photos"], "on", dry_run=True))
    assert any("MatchParts" in text for text in failures)
    assert json.loads(off.record_path().read_text())["part_pairs"] == []


def test_training_crops_that_show_the_same_go_out_where_that_is_wanted(select, folders):
    # Windows of the photos, in another dataset: those of training images show what crops of these show.
    config = luigi.configuration.get_config()
    assert "FindDuplicates" not in {one.task_family for one in flatten(select(["photos", "more"]).requires())}
    config.set("selection", "duplicate_parts", "true")
    config.set("selection", "copy_bits", "-1")
    try:
        task = select(["photos", "more"], "off", dry_run=True)
        failures = []
        luigi.Task.event_handler(luigi.Event.FAILURE)(lambda task, error: failures.append(str(error)))
        assert build(MakeCrops(dataset=task.datasets[0].dataset)) and build(
            MakeCrops(dataset=task.datasets[1].dataset)
        )
        assert build(IndexSource(dataset=str(folders / "bench")))
        assert not build(task) and any("sr-factory FindDuplicates" in text for text in failures)
        task = select(["photos", "more"], "off")
        assert build(task), "see the log"
        record = task.load_record()
        out = [one for one in rejected(task).values() if "shows the same as" in one["detail"]]
        (counts,) = [one for one in record["filters"] if one["filter"] == "parts: duplicates"]
        assert sum(counts["rejected"]) == len(out) > 0 and {one["reason"] for one in out} == {
            "near_duplicate"
        }
        found = read_duplicates(FindDuplicates().directory())
        keys = {one.key for one in found} | {one.like for one in found}
        assert {one["id"] for one in out} <= keys
        table = {}
        for one in task.datasets:
            for path in sorted((one.directory() / "manifest").glob("*[0-9].jsonl")):
                table |= {line["key"]: line["source"].removeprefix("of-") for line in read_jsonl(path)}
        # Every pair is of one photo and its window.
        assert all(table[one.key] == table[one.like] and one.dataset != one.like_dataset for one in found)
    finally:
        config.remove_option("selection", "duplicate_parts")
        config.remove_option("selection", "copy_bits")
