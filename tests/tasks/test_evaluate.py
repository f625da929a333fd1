"""Test EvaluateModel and CompareModels: what is part of their names, and that every mistake is one line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import luigi
import pytest
from images import textured

from data.errors import UserError
from tasks import CompareModels, EvaluateModel

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def pairs(tmp_path):
    """Return a benchmark folder with HR/ and LR/."""
    root = tmp_path / "mine" / "x2"
    for folder, size in (("HR", 48), ("LR", 24)):
        (root / folder).mkdir(parents=True)
        for number in range(2):
            cv2.imwrite(str(root / folder / f"{number}.png"), textured(number, size, size))
    return root


@pytest.fixture
def configured():
    """Return a function that sets a parameter of [evaluation] until the test ends."""
    config, names = luigi.configuration.get_config(), []

    def set_one(name, value):
        config.set("evaluation", name, value)
        names.append(name)
        luigi.task_register.Register.clear_instance_cache()

    yield set_one
    for name in names:
        config.remove_option("evaluation", name)
    luigi.task_register.Register.clear_instance_cache()


def _name(**parameters):
    return EvaluateModel(model="bicubic", **parameters).directory_name


def test_everything_that_changes_the_figures_changes_the_name(pairs):
    names = {
        _name(benchmark=str(pairs), **changes)
        for changes in (
            {},
            {"protocol": "rgb-network"},
            {"protocol": "classic"},
            {"channel": "rgb"},
            {"degradation": "matlab-bicubic"},
            {"degradation": "catid-gaussian"},
            {"scale": 4},
        )
    }
    assert len(names) == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("border_px", "7"),
        ("channel", "rgb"),
        ("modcrop", "12"),
        ("degradation", "matlab-bicubic"),
        ("lpips", "true"),
        ("protocol", "protocol-a"),
        ("rounding", "luma"),
    ],
)
def test_the_section_changes_the_name_as_the_command_line_does(pairs, configured, name, value):
    before = _name(benchmark=str(pairs))
    configured(name, value)
    assert _name(benchmark=str(pairs)) != before


@pytest.mark.parametrize(("name", "value"), [("tile_px", "256"), ("device", "GPU")])
def test_tile_size_and_device_change_the_name_for_networks_only(pairs, configured, tmp_path, name, value):
    graph = tmp_path / "net.onnx"
    graph.write_bytes(b"a network")

    def both():
        network = EvaluateModel(model=str(graph), benchmark=str(pairs))
        return network.directory_name, _name(benchmark=str(pairs))

    before = both()
    configured(name, value)
    after = both()
    assert before[0] != after[0] and before[1] == after[1]


def test_a_model_is_evaluated_on_the_device_of_the_section(pairs, configured, tmp_path):
    evaluation = EvaluateModel(model=str(tmp_path / "net.onnx"), benchmark=str(pairs))
    (tmp_path / "net.onnx").write_bytes(b"a network")
    configured("device", "GPU")
    with pytest.raises(UserError, match="cannot run on the device GPU"):
        evaluation._load_upscaler()


def test_changed_lr_images_change_the_name_where_they_are_used(pairs):
    def both():
        luigi.task_register.Register.clear_instance_cache()
        return [_name(benchmark=str(pairs), protocol=name) for name in ("rgb-network", "protocol-a")]

    before = both()
    cv2.imwrite(str(pairs / "LR" / "0.png"), textured(99, 24, 24))
    after = both()
    assert before[0] != after[0] and before[1] == after[1]


def test_a_comparison_labels_models_of_one_name_by_their_paths(pairs, tmp_path):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.onnx").write_bytes(folder.encode())
    paths = [str(tmp_path / folder / "net.onnx") for folder in ("first", "second")]
    task = CompareModels(models=(*paths, "bicubic"), benchmarks=(str(pairs),))
    assert task.parameters()["labels"] == {paths[0]: paths[0], paths[1]: paths[1], "bicubic": "bicubic"}
    assert [one.model for one in task.requires()] == [*paths, "bicubic"]


def test_folders_of_one_name_are_two_benchmarks(tmp_path):
    folders = [str(tmp_path / parent / "photos") for parent in ("first", "second")]
    for number, folder in enumerate(folders):
        Path(folder).mkdir(parents=True)
        cv2.imwrite(f"{folder}/one.png", textured(number, 48, 48))
    result = _luigi(
        tmp_path / "store", "CompareModels", "--models", "bicubic", "--benchmarks", ",".join(folders)
    )
    assert result.returncode == 0, result.stderr
    (record,) = (tmp_path / "store").glob("comparisons/*/comparison.json")
    compared = json.loads(record.read_text())
    assert compared["benchmarks"] == folders
    assert len({one["psnr_db"] for one in compared["rows"][0]["figures"].values()}) == 2


def _luigi(store, *arguments, options=()):
    command = [
        sys.executable,
        *options,
        "-m",
        "luigi",
        "--module",
        "tasks",
        *arguments,
        "--store-root",
        str(store),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "LUIGI_CONFIG_PATH"}
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_filters_are_compared_from_the_command_line(pairs, tmp_path):
    arguments = [
        "--models",
        "bicubic,lanczos",
        "--benchmarks",
        f"{pairs},{pairs / 'HR'}",
        "--protocol",
        "classic",
    ]
    result = _luigi(tmp_path / "store", "CompareModels", *arguments)
    assert result.returncode == 0, result.stderr
    assert "bicubic x2 (measured, classic-x2): mine " in result.stdout and "comparison.html" in result.stdout
    reports = [
        json.loads(path.read_text()) for path in (tmp_path / "store").glob("evaluations/*/report.json")
    ]
    assert len(reports) == 4 and {one["protocol"]["name"] for one in reports} == {"classic-x2"}
    (page,) = (tmp_path / "store").glob("comparisons/*/comparison.html")
    assert page.stat().st_size > 5000


def test_torch_is_not_imported_to_evaluate_a_filter(pairs, tmp_path):
    arguments = ["EvaluateModel", "--model", "bicubic", "--benchmark", str(pairs)]
    result = _luigi(tmp_path / "store", *arguments, options=["-X", "importtime"])
    assert result.returncode == 0, result.stderr
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "sr.evaluation.evaluate" in imported
    assert not imported & {"torch", "onnx", "openvino", "skimage", "sr.evaluation.lpips"}


@pytest.mark.parametrize(
    ("fault", "arguments", "words"),
    [
        ("rename", [], ["missing 1.png", "without an HR image 1x2.png"]),
        ("small", [], ["small.png (too_small: 12x40", "mine-x2", "usable images"]),
        ("five", [], ["0.png, 1.png", "Set5"]),
        ("", ["--protocol", "clasic"], ["pillow, classic, rgb-network, protocol-a", "clasic"]),
        ("", ["--scale", "4"], ["12x12", "24x24", "--scale"]),
        ("", ["--protocol", "classic", "--channel", "rgb"], ["channel y", "'rgb'"]),
    ],
)
def test_a_faulty_benchmark_is_one_line(pairs, tmp_path, fault, arguments, words):
    if fault == "rename":
        (pairs / "LR" / "1.png").rename(pairs / "LR" / "1x2.png")
    if fault == "small":
        for folder in ("HR", "LR"):
            cv2.imwrite(str(pairs / folder / "small.png"), textured(3, 40, 12))
    if fault == "five":
        pairs = pairs.parent.rename(tmp_path / "Set5") / "x2"
    result = _luigi(
        tmp_path / "store", "EvaluateModel", "--model", "bicubic", "--benchmark", str(pairs), *arguments
    )
    errors = [line for line in result.stderr.splitlines() if re.match(r"\w+: ", line)]
    assert result.returncode != 0 and len(errors) == 1, result.stderr
    for word in words:
        assert word in errors[0]
    assert not list((tmp_path / "store").glob("evaluations/*/report.json"))
