"""Test the command line: a folder of images becomes a dataset, and every mistake is one clear line."""

import json

import pytest
from commands import files, luigi


def test_a_folder_becomes_a_dataset_the_same_with_any_number_of_workers(photo_folder, tmp_path):
    options = ["--crops-size-px", "128", "--crops-crops-per-shard", "8", "--crops-validation-fraction", "0.2"]
    stores = {}
    for workers in ("1", "3"):
        store = tmp_path / f"store{workers}"
        result = luigi(store, "MakeCrops", "--dataset", str(photo_folder), "--workers", workers, *options)
        assert result.returncode == 0, result.stderr
        stores[workers] = files(store)
    assert stores["1"] == stores["3"]
    (record,) = [name for name in stores["1"] if name.endswith("dataset.json")]
    manifest = json.loads(stores["1"][record])
    assert len(manifest["shards"]) >= 4
    assert f"{manifest['totals']['crops']} crops of {manifest['totals']['sources']} images" in result.stdout
    again = luigi(tmp_path / "store1", "MakeCrops", "--dataset", str(photo_folder), *options)
    assert again.returncode == 0 and "crops of" in again.stdout
    assert "PackShard" not in again.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["MakeCrops", "--dataset", "DIV3K"], ["DIV2K", "catalog", "Did you mean"]),
        (["MakeCrops", "--dataset", "./nowhere"], ["no folder, archive or video", "nowhere"]),
        (
            ["MakeCrops", "--dataset", "PHOTOS", "--crops-size-px", "5000"],
            ["5000x5000", "800x600", "size_px"],
        ),
        (
            ["ExportOpenVINO", "--precision", "int8", "--export-int8-loss-db", "nan"],
            ["number of 0 or more", "nan"],
        ),
        (["MakeCrops", "--dataset", "PHOTOS", "--crops-size-px", "0"], ["16 to 8192", "--crops-size-px"]),
        (
            ["MakeCrops", "--dataset", "PHOTOS", "--crops-max-megapixels", "inf"],
            ["above 0", "--crops-max-megapixels"],
        ),
        (["MakeCrops", "--dataset", "PHOTOS", "--crops-size-px", "abc"], ["whole number", "abc"]),
        (
            ["EvaluateModel", "--model", "bicubic", "--benchmark", "Photos", "--scale", "0"],
            ["--scale", "from 2 to 8"],
        ),
        (["EvaluateModel", "--model", "no.xml", "--benchmark", "Photos"], ["no.xml", "Check the path"]),
        (["TrainModel", "--model-preset", "vapsr"], ["realtime-x2", "vapsr"]),
        (["TrainModel", "--training-compile", "perhaps"], ["--training-compile", "true or false"]),
        (["TrainModel", "--training-loss", "l1+l7"], ["charbonnier", "'l7'", "l1:1+frequency:0.05"]),
        (
            ["TrainModel", "--training-degradation", "bicubic,blurr"],
            ["steps blur, noise", "Change [training] degradation"],
        ),
        (
            ["ExportCheckpoint", "--training-ema-decay", "1.5"],
            ["0 to below 1", "1.5", "--training-ema-decay"],
        ),
        (
            ["TrainModel", "--model-preset", "realtime-x2", "--model-color-space", "oklab"],
            ["rgb", "oklab", "VapSR"],
        ),
        (["MakeCrops"], ["--dataset"]),
        (["MakeCrop"], ["MakeCrops"]),
    ],
    ids=lambda value: " ".join(value[:2] + value[-1:]) if value[0][0].isupper() else "",
)
def test_a_mistake_is_one_line_that_says_what_to_do(arguments, words, photo_folder, tmp_path):
    arguments = [str(photo_folder) if one == "PHOTOS" else one for one in arguments]
    result = luigi(tmp_path / "store", *arguments)
    lines = result.stderr.strip().splitlines()
    assert result.returncode != 0
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    for word in words:
        assert word in lines[0]
    assert not files(tmp_path / "store"), "nothing may be left behind"


TRAINING = {
    "selection-datasets": "Sample_tiny",
    "selection-max-validation": "2",
    "evaluation-benchmarks": "Photos",
    "model-preset": "realtime-x2",
    "crops-size-px": "128",
    "crops-validation-fraction": "0.2",
    "training-patch-px": "32",
    "training-batch-size": "4",
    "training-steps-per-epoch": "3",
    "training-warmup-steps": "2",
    "training-precision": "fp32",
    "training-compile": "false",
}


def train(store, task, *arguments):
    options = [word for name, value in TRAINING.items() for word in (f"--{name}", value)]
    return luigi(store, task, *options, *arguments)


def record_of(store):
    (path,) = store.glob("runs/*/training.json")
    return json.loads(path.read_text())


def test_another_limit_continues_the_same_run_and_gives_another_model(tmp_path):
    store = tmp_path / "store"
    assert train(store, "ExportCheckpoint", "--training-max-steps", "3").returncode == 0
    first = record_of(store)
    assert (first["steps"], first["settings"]["max_steps"], first["changes"]) == (3, 3, [])
    assert first["settings"]["compile"] is False
    changed = ["--training-max-steps", "6", "--training-learning-rate", "0.0005"]
    result = train(store, "ExportCheckpoint", *changed)
    assert result.returncode == 0, result.stderr
    record = record_of(store)
    assert record["steps"] == 6
    assert record["changes"] == [
        {"step": 3, "field": "learning_rate", "from": 0.001, "to": 0.0005},
        {"step": 3, "field": "max_steps", "from": 3, "to": 6},
    ]
    assert len(list(store.glob("models/*/model.json"))) == 2
    before = files(store)
    assert train(store, "TrainModel", *changed).returncode == 0
    assert files(store) == before
