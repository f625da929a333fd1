import json
from pathlib import Path

import luigi
import pytest
from commands import files
from crop_datasets import SETTINGS, build, store

from tasks import known_sources
from tasks.cli import main
from tasks.crops import MakeCrops, PackShard

HOSTILE = (
    "/etc/passwd",
    "train-000000/../../x",
    "train-0",
    ".",
    "train-000000\n",
    "train-०००००१",
    "train-000000\0",
)
OPTIONS = [word for name, value in SETTINGS.items() for word in (f"--crops-{name.replace('_', '-')}", value)]


def test_the_shards_of_a_dataset_are_planned_once_and_listed_with_what_is_done(photo_folder, tmp_path, capfd):
    command = ["shards", str(photo_folder), *OPTIONS, "--store-root", str(tmp_path)]
    assert main([*command, "--json"]) == 0
    output = capfd.readouterr()
    found = json.loads(output.out)
    assert "PlanCrops" in output.err
    names = [shard["name"] for shard in found["shards"]]
    assert "train-000000" in names and not any(shard["done"] for shard in found["shards"])
    with store(tmp_path):
        task = PackShard(dataset=str(photo_folder), shard="train-000000")
        assert build(task)
        assert found["directory"] == str(MakeCrops(dataset=str(photo_folder)).directory())
    assert main([*command]) == 0
    output = capfd.readouterr()
    lines = output.out.splitlines()
    assert lines[0].startswith("train-000000  done   ") and lines[1].startswith("train-000001  to do  ")
    assert lines[-2].startswith(f"{len(names)} shards, 1 done, in ") and "--part I/N" in lines[-1]
    assert output.err == "", "a finished plan is only read"


def test_mistakes_are_one_line_and_nothing_is_on_standard_output(tmp_path, capfd):
    for command, words in (
        (["shards"], "usage: sr-factory shards DATASET"),
        (["shards", "./nothing", "--json", "--store-root", str(tmp_path)], "nothing"),
        (["shards", "Sample", "--crops-size-px", "x", "--json"], "--crops-size-px is 'x'"),
    ):
        assert main(command) != 0
        output = capfd.readouterr()
        assert output.out == "" and words in output.err and len(output.err.splitlines()) == 1


def test_a_shard_that_is_not_planned_or_no_name_is_refused_in_words(photo_folder, tmp_path, capfd):
    command = ["PackShard", "--dataset", str(photo_folder), *OPTIONS, "--store-root", str(tmp_path / "store")]
    assert main([*command, "--shard", "train-000999"]) == 30
    error = capfd.readouterr().err
    assert "no shard train-000999 in the plan" in error and "train-000000 to validation-0" in error
    before = files(tmp_path)
    for options, words in (
        (["--shard", "../../x"], "it must be the name of a shard"),
        (["--part", "0/8"], "--part is '0/8', but it must be I/N with I from 1"),
        ([], "takes one of --shard and --part, and has neither"),
        (["--part", "1/8", "--shard", "train-000000"], "takes one of --shard and --part, and has both"),
    ):
        assert main([*command, *options]) not in (0, 3)
        output = capfd.readouterr()
        assert words in output.err and len(output.err.splitlines()) == 1, output.err
    assert files(tmp_path) == before
    for name in HOSTILE:
        with pytest.raises(ValueError, match="is not the name of a shard"):
            PackShard(dataset=str(photo_folder), shard=name)


def test_a_job_that_is_given_the_plan_does_not_look_through_the_source_again(photo_folder, tmp_path, capfd):
    command = [str(photo_folder), *OPTIONS, "--store-root", str(tmp_path / "store")]
    assert main(["shards", *command, "--json"]) == 0
    plan = json.loads(capfd.readouterr().out)["plan"]
    known = Path(plan, "run", "source.json")
    before = known.read_bytes()
    known.unlink()
    assert main(["shards", *command]) == 0 and known.read_bytes() == before
    pack = ["PackShard", "--dataset", *command, "--shard", "train-000000"]

    def run(*arguments):
        """Run as a process of its own would, which remembers nothing."""
        luigi.task_register.Register.clear_instance_cache()
        known_sources._known.clear()
        return main(list(arguments))

    for options, words in (
        (["--plan-dir", str(tmp_path)], "is not the directory of a plan"),
        (["--plan-dir", plan, "--crops-seed", "7"], "is not the plan that follows from the settings here"),
    ):
        assert run(*pack, *options) not in (0, 3)
        error = capfd.readouterr().err
        assert words in error and len(error.splitlines()) == 1, error
    (photo_folder / "new.png").write_bytes((photo_folder / "small.png").read_bytes())
    assert run(*pack, "--plan-dir", plan) == 0
    assert run("status", "MakeCrops", "--dataset", *command) == 0
    assert "to do" in capfd.readouterr().out.splitlines()[1], "without the plan, the source is another one"
    assert [path.name for path in tmp_path.glob("store/crops/*/shards/*.tar")] == ["train-000000.tar"]
