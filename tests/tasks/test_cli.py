import os
import subprocess
import sys
from pathlib import Path

import pytest
from images import textured
from PIL import Image

import tasks
from tasks.cli import main

REPOSITORY = Path(__file__).parents[2]
BASE_ONLY = REPOSITORY / "tests" / "support" / "base_only"
SMALL = ("--crops-size-px", "128")


def run(
    directory: Path, *command: str, path: tuple[Path, ...] = (REPOSITORY,)
) -> subprocess.CompletedProcess:
    """Run a module in a directory that has no luigi.cfg, as another user would."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUIGI_")}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "TMPDIR": str(directory)}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_arguments_every_task_is_listed_with_a_line(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in tasks.__all__:
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert len(line.split()) > 3, line


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip().count(".") == 2


@pytest.mark.parametrize(
    "command", [("luigi", "--module", "tasks"), ("tasks.cli",)], ids=["luigi", "sr-factory"]
)
def test_a_task_runs_from_any_directory(command, tmp_path):
    made = run(tmp_path, *command, "MakeCrops", "--dataset", "Sample_tiny", *SMALL)
    assert made.returncode == 0, made.stderr
    assert "Crops: " in made.stdout and list((tmp_path / "work" / "crops").iterdir())


@pytest.mark.parametrize(
    "command", [("luigi", "--module", "tasks"), ("tasks.cli",)], ids=["luigi", "sr-factory"]
)
def test_a_missing_dataset_is_one_line_and_an_exit_code(command, tmp_path):
    failed = run(tmp_path, *command, "MakeCrops", "--dataset", "./nothing")
    assert failed.returncode != 0
    assert "nothing" in failed.stderr and len(failed.stderr.strip().splitlines()) == 1, failed.stderr


def test_a_failed_task_has_its_exit_code_from_any_directory(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    failed = run(tmp_path, "luigi", "--module", "tasks", "MakeCrops", "--dataset", "./photos")
    assert failed.returncode == 30, failed.stderr


def test_status_shows_what_is_to_do(capsys, tmp_path):
    shown = run(tmp_path, "tasks.cli", "status", "MakeCrops", "--dataset", "Sample_tiny")
    assert shown.returncode == 0 and "to do" in shown.stdout and "PlanCrops" in shown.stdout


def test_the_base_alone_prepares_data_and_says_what_the_rest_needs(tmp_path):
    def base(*command: str) -> subprocess.CompletedProcess:
        return run(tmp_path, "luigi", "--module", "tasks", *command, *SMALL, path=(BASE_ONLY, REPOSITORY))

    (tmp_path / "benchmark").mkdir()
    Image.fromarray(textured(1, 64, 64)).save(tmp_path / "benchmark" / "a.png")
    selection = ("--selection-datasets", "Sample_tiny", "--evaluation-benchmarks", "./benchmark")
    for command in (
        ("MakeCrops", "--dataset", "Sample_tiny"),
        ("VerifyDataset", "--dataset", "Sample_tiny", "--level", "full"),
        ("ExportFolder", "--dataset", "Sample_tiny"),
        ("SelectSamples", *selection),
        ("ReviewSelection", *selection),
    ):
        done = base(*command)
        assert done.returncode == 0, done.stderr
    failed = base("TrainModel", *selection)
    assert failed.returncode != 0
    assert "TrainModel needs torch" in failed.stderr and "[train]" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1, failed.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["Download", "--dataset", "Set5", "--store-archives", "~no-such-user/x"],
        ["MakeCrops", "--dataset", "Sample", "--store-root", "~no-such-user/x"],
        ["UpscaleImages", "--model", "bicubic", "--input", "~no-such-user/x", "--output-dir", "o"],
        ["EvaluateModel", "--model", "~no-such-user/x.pth", "--benchmark", "Sample"],
        ["BenchmarkModel", "--model", "~no-such-user/x.onnx"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_home_folder_of_an_unknown_user_is_named_in_one_line(arguments, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, *(() if "--store-root" in arguments else ("--store-root", str(tmp_path)))]) != 0
    error = capfd.readouterr().err
    assert "There is no home folder ~no-such-user, with which" in error and "Traceback" not in error
