"""Run VerifyDataset and ExportFolder from the command line."""

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


def test_damage_is_found_and_named_and_rebuilt_byte_for_byte(run, crops):
    before = files(crops)
    intact = run("VerifyDataset", "--workers", "2")
    assert intact.returncode == 0 and "no damage found" in intact.stdout, intact.stderr
    (crops / "shards" / "train-000001.tar").write_bytes(before["shards/train-000001.tar"][:-5000])
    (crops / "manifest" / "train-000002.jsonl").unlink()
    (crops / "README.md").write_text("")
    (crops / "spec.json").unlink()
    (crops / "run" / "rebuilt").mkdir(exist_ok=True)  # as a killed run leaves it
    times = {path: path.stat().st_mtime_ns for path in (crops / "shards").iterdir()}

    # The record of the intact dataset must not count for this run.
    found = run("VerifyDataset", "--workers", "2")
    (line,) = [line for line in found.stderr.splitlines() if line.startswith("VerifyDataset: ")]
    assert found.returncode == 30
    assert "2 damaged shards (train-000001, train-000002)" in line and "--rebuild" in line
    assert "Verified" not in found.stdout
    assert not (crops / "spec.json").exists(), "verifying must not write what it verifies"

    repaired = run("VerifyDataset", "--level", "full", "--rebuild")
    assert repaired.returncode == 0, repaired.stderr
    assert files(crops) == before and not (crops / "run" / "rebuilt").exists()
    rewritten = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert rewritten == {"train-000001.tar", "train-000002.tar"}
    record = json.loads((crops / "run" / "verification.json").read_text())
    assert (record["level"], record["remaining"]) == ("full", [])
    assert record["rebuilt"] == ["train-000001", "train-000002"]
    assert {one["file"] for one in record["damage"]} == {
        "README.md", "spec.json", "shards/train-000001.tar", "manifest/train-000002.jsonl",
    }  # fmt: skip


def test_a_damaged_dataset_json_is_rebuilt_byte_for_byte(run, crops):
    before = files(crops)
    (crops / "dataset.json").write_bytes(before["dataset.json"][:100])
    (crops / "manifest" / "train-000000.json").unlink()
    repaired = run("VerifyDataset", "--rebuild")
    assert repaired.returncode == 0, repaired.stderr
    assert files(crops) == before


def test_a_shard_that_would_differ_is_not_replaced(run, crops):
    manifest = json.loads((crops / "dataset.json").read_text())
    manifest["shards"][1]["tar_xxh3"] = "0" * 64
    (crops / "dataset.json").write_text(json.dumps(manifest))
    before = files(crops)
    refused = run("VerifyDataset", "--level", "hashes", "--rebuild")
    assert refused.returncode == 30
    assert "differs from the original shard" in refused.stderr and "Traceback" not in refused.stderr
    assert files(crops) == before
    assert not (crops / "run" / "rebuilt").exists()


def test_verifying_makes_nothing(run, tmp_path):
    result = run("VerifyDataset")
    (line,) = result.stderr.splitlines()
    assert result.returncode == 30 and "Make it with MakeCrops" in line
    assert not (tmp_path / "store").exists() or not files(tmp_path / "store")


def test_a_dataset_is_exported_to_plain_files(run, crops, tmp_path):
    made = run("ExportFolder", "--workers", "2")
    assert made.returncode == 0, made.stderr
    (out,) = (tmp_path / "store" / "folders").iterdir()
    totals = json.loads((crops / "dataset.json").read_text())["totals"]
    assert len(list(out.glob("*/*/*.png"))) == totals["crops"]
    assert str(out) in made.stdout
    shutil.rmtree(crops)
    assert run("ExportFolder").returncode == 0, "a finished export no longer needs its dataset"
