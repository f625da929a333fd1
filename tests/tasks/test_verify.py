"""VerifyDataset and ExportFolder as a person starts them."""

import json
import shutil

import pytest
from commands import files, luigi

OPTIONS = ["--crops-size-px", "128", "--crops-crops-per-shard", "8", "--crops-validation-fraction", "0.2"]


@pytest.fixture
def run(photo_folder, tmp_path):
    def run(task: str, *arguments: str):
        return luigi(tmp_path / "store", task, "--dataset", str(photo_folder), *arguments, *OPTIONS)

    return run


@pytest.fixture
def crops(run, tmp_path):
    made = run("MakeCrops")
    assert made.returncode == 0, made.stderr
    (directory,) = (tmp_path / "store" / "crops").iterdir()
    return directory


def test_damage_is_found_named_and_rebuilt_byte_for_byte(run, crops):
    before = files(crops)
    sound = run("VerifyDataset", "--workers", "2")
    assert sound.returncode == 0 and "all is sound" in sound.stdout, sound.stderr
    (crops / "shards" / "train-000001.tar").write_bytes(before["shards/train-000001.tar"][:-5000])
    (crops / "manifest" / "train-000002.jsonl").unlink()
    (crops / "README.md").write_text("")
    (crops / "spec.json").unlink()
    (crops / "run" / "rebuilt").mkdir(exist_ok=True)  # as a kill leaves it
    times = {path: path.stat().st_mtime_ns for path in (crops / "shards").iterdir()}

    # The record of the sound dataset must not be taken for this answer.
    found = run("VerifyDataset", "--workers", "2")
    (line,) = [line for line in found.stderr.splitlines() if "Expected" in line]
    assert found.returncode == 30
    assert "2 damaged shards (train-000001, train-000002)" in line and "--rebuild" in line
    assert "Verified" not in found.stdout
    assert not (crops / "spec.json").exists(), "looking writes nothing that it looks at"

    mended = run("VerifyDataset", "--full", "--rebuild")
    assert mended.returncode == 0, mended.stderr
    assert files(crops) == before and not (crops / "run" / "rebuilt").exists()
    rewritten = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert rewritten == {"train-000001.tar", "train-000002.tar"}
    record = json.loads((crops / "run" / "verification.json").read_text())
    assert (record["level"], record["left"]) == ("full", [])
    assert record["rebuilt"] == ["train-000001", "train-000002"]
    assert {one["file"] for one in record["damage"]} == {
        "README.md", "spec.json", "shards/train-000001.tar", "manifest/train-000002.jsonl",
    }  # fmt: skip


def test_a_damaged_dataset_json_comes_back_byte_for_byte(run, crops):
    before = files(crops)
    (crops / "dataset.json").write_bytes(before["dataset.json"][:100])
    (crops / "manifest" / "train-000000.json").unlink()
    mended = run("VerifyDataset", "--rebuild")
    assert mended.returncode == 0, mended.stderr
    assert files(crops) == before


def test_a_shard_that_would_come_out_otherwise_is_left_as_it_is(run, crops):
    manifest = json.loads((crops / "dataset.json").read_text())
    manifest["shards"][1]["tar_xxh3"] = "0" * 64
    (crops / "dataset.json").write_text(json.dumps(manifest))
    before = files(crops)
    refused = run("VerifyDataset", "--level", "hashes", "--rebuild")
    assert refused.returncode == 30
    assert "Expected the shard that it was" in refused.stderr and "Traceback" not in refused.stderr
    assert files(crops) == before
    assert not (crops / "run" / "rebuilt").exists()


def test_looking_makes_nothing(run, tmp_path):
    looked = run("VerifyDataset")
    (line,) = looked.stderr.splitlines()
    assert looked.returncode == 30 and "make it with MakeCrops" in line
    assert not (tmp_path / "store").exists() or not files(tmp_path / "store")


def test_a_folder_of_plain_files(run, crops, tmp_path):
    made = run("ExportFolder", "--workers", "2")
    assert made.returncode == 0, made.stderr
    (out,) = (tmp_path / "store" / "folders").iterdir()
    totals = json.loads((crops / "dataset.json").read_text())["totals"]
    assert len(list(out.glob("*/*/*.png"))) == totals["crops"]
    assert str(out) in made.stdout
    shutil.rmtree(crops)
    assert run("ExportFolder").returncode == 0, "a finished export needs its dataset no more"
