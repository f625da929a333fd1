"""Scores by networks: one file a shard, made once, and rules of a selection use them."""

import luigi
import numpy as np
import pyarrow.parquet
import pytest
from crop_datasets import build, store
from score_networks import save_network

from data.atomic_files import read_jsonl
from tasks.runtime.extras import check_extras
from tasks.scores import ScoreCrops
from tasks.select import SelectSamples


@pytest.fixture
def configure(photo_folder, tmp_path):
    """Return a function that sets options of configuration, and clear them in the end."""
    config = luigi.configuration.get_config()
    used = []

    def set_options(**values):
        for name, value in values.items():
            section, _, option = name.partition("__")
            config.set(section, option, value)
            used.append((section, option))
        luigi.task_register.Register.clear_instance_cache()

    with store(tmp_path / "store"):
        set_options(
            selection__datasets=str(photo_folder),
            selection__near_duplicate_bits="-1",
            selection__leakage_bits="-1",
            selection__parts="off",
            evaluation__benchmarks="",
        )
        yield set_options
        for section, option in used:
            config.remove_option(section, option)


def selected(task):
    """Return the keys of the crops of a selection by split, and the lines of its rejections."""
    return task.load_record(), list(read_jsonl(task.directory() / "rejections.jsonl"))


def test_scores_of_a_network_are_made_once_and_rules_use_them(configure, photo_folder, tmp_path):
    metric = f"bright={save_network(tmp_path / 'mean.onnx')}"
    configure(scores__metrics=metric, selection__rules="bright >= p50")
    task = SelectSamples()
    assert build(task)
    scoring = ScoreCrops(dataset=str(photo_folder), metric=metric)
    files = sorted(scoring.directory().glob("*.parquet"))
    table = pyarrow.concat_tables([pyarrow.parquet.read_table(path) for path in files])
    bright = dict(zip(table["key"].to_pylist(), table["bright"].to_pylist(), strict=True))
    assert len(files) > 1 and scoring.counts() == f"{len(bright)} crops"
    threshold = float(np.percentile(list(bright.values()), 50, method="nearest"))
    record, rejections = selected(task)
    poor = {one["id"] for one in rejections if one["reason"] == "low_quality"}
    assert poor == {key for key, value in bright.items() if value < threshold}
    assert [one for one in record["filters"] if one["filter"] == "bright >= p50"]

    # Another rule scores nothing again; a shard that is missing is scored, and no other.
    files[0].with_suffix(".json").unlink()
    scoring.record_path().unlink()
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    configure(selection__rules="bright >= 0.3")
    again = SelectSamples()
    assert build(again) and again.directory() != task.directory()
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    assert [path for path in files if after[path] != before[path]] in ([], [files[0]])
    assert all(after[path][1] == before[path][1] for path in files)
    poor = {one["id"] for one in selected(again)[1] if one["reason"] == "low_quality"}
    assert poor == {key for key, value in bright.items() if value < 0.3}


def test_another_network_is_another_directory_and_none_changes_nothing(configure, photo_folder, tmp_path):
    plain = SelectSamples().directory_name
    metric = f"bright={save_network(tmp_path / 'mean.onnx')}"
    configure(scores__metrics=metric)
    scored = SelectSamples().directory_name
    save_network(tmp_path / "mean.onnx", ("n", 3, 8, 8))
    configure(scores__metrics=metric)
    assert len({plain, scored, SelectSamples().directory_name}) == 3
    configure(scores__metrics="")
    assert SelectSamples().directory_name == plain


def failures_of(task):
    """Run a task that fails, and return what is said."""
    said = []
    luigi.Task.event_handler(luigi.Event.FAILURE)(lambda task, error: said.append(str(error)))
    assert not build(task)
    return said


def test_a_dry_run_makes_no_scores_and_says_which_command_does(configure, photo_folder, tmp_path):
    assert build(SelectSamples())
    configure(scores__metrics=f"bright={save_network(tmp_path / 'mean.onnx')}")
    said = failures_of(SelectSamples(dry_run=True))
    assert any("bright has not scored" in text and "ScoreCrops --dataset" in text for text in said)


def test_a_damaged_file_of_scores_is_found(configure, photo_folder, tmp_path):
    metric = f"bright={save_network(tmp_path / 'mean.onnx')}"
    configure(scores__metrics=metric, selection__rules="bright >= 0.1")
    scoring = ScoreCrops(dataset=str(photo_folder), metric=metric)
    assert build(scoring)
    path = sorted(scoring.directory().glob("*.parquet"))[0]
    path.write_bytes(path.read_bytes()[:-1])
    assert any(f"{path} is missing or damaged" in text for text in failures_of(SelectSamples()))


def test_a_name_of_a_stored_metric_and_a_missing_extra_are_refused(configure, tmp_path, monkeypatch):
    from data.errors import UserError

    configure(scores__metrics=f"noise={save_network(tmp_path / 'mean.onnx')}")
    with pytest.raises(UserError, match="noise is the name of a quality metric"):
        ScoreCrops(dataset="DIV2K", metric=f"noise={tmp_path / 'mean.onnx'}").parameters()
    configure(scores__metrics="hyperiqa")
    monkeypatch.setattr("tasks.runtime.extras._is_installed", lambda name: name != "pyiqa")
    with pytest.raises(UserError, match="ScoreCrops needs pyiqa.*pip install --no-deps pyiqa=="):
        check_extras(SelectSamples())


@pytest.mark.parametrize("names", [["trip/p1.png", "camera.jpg"], ["/data/p1.png", "/data/camera.jpg"]])
def test_a_list_of_names_keeps_the_crops_of_these_images(configure, tmp_path, names):
    path = tmp_path / "keep-these.txt"
    path.write_text("\n".join(names))
    configure(selection__scores=str(path), selection__rules="keep-these >= 1", selection__max_validation="0")
    task = SelectSamples(dry_run=True)
    assert build(task.datasets[0])
    manifests = sorted((task.datasets[0].directory() / "manifest").glob("*[0-9].jsonl"))
    crops = [line["source"] for one in manifests for line in read_jsonl(one)]
    assert build(task)
    kept = sum(source in ("trip/p1.png", "camera.jpg") for source in crops)
    assert 0 < kept < len(crops)
    line = next(line for line in task.summary().splitlines() if "keep-these" in line)
    assert line.split()[-1] == str(len(crops) - kept)
