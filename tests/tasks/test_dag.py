"""Compare the drawing in the docstring of tasks/ with what the tasks require."""

import re
from pathlib import Path

import luigi
import pytest
from luigi.task import flatten

import tasks
from data.errors import UserError
from tasks import (
    BenchmarkModel,
    CompareModels,
    DescribeShard,
    EmbedShard,
    EvaluateModel,
    ExportFolder,
    ExportNcnn,
    ExportOnnx,
    ExportOpenVINO,
    ExportShader,
    FullPipeline,
    IndexSource,
    MakeCrops,
    MeasureCodecGain,
    PackShard,
    PublishDataset,
    ScoreShard,
    SearchArchitecture,
    UpscaleImages,
    UpscaleVideo,
    VerifyDataset,
)


@pytest.fixture(autouse=True)
def settings(tmp_path):
    """Two datasets, one benchmark, LPIPS too, an empty store."""
    config = luigi.configuration.get_config()
    values = {("store", "root"): str(tmp_path), ("selection", "datasets"): "DIV2K,Sample"}
    values[("evaluation", "benchmarks")] = "Set5"
    values[("evaluation", "lpips")] = "true"
    values[("scores", "metrics")] = "hyperiqa"
    values[("selection", "duplicate_parts")] = "true"
    (tmp_path / "sscd.pt").write_bytes(b"")
    values[("selection", "embedder")] = str(tmp_path / "sscd.pt")
    values[("training", "loss")] = "l1:1+lpips:0.1"
    for (section, name), value in values.items():
        config.set(section, name, value)
    yield
    for section, name in values:
        config.remove_option(section, name)
    luigi.task_register.Register.clear_instance_cache()


def drawn() -> set[tuple[str, str]]:
    """Return the arrows of the list below the drawing, from each task to the tasks that require it."""
    arrows = set()
    for upstream, downstream in re.findall(r"^    (\w+) → (.+)$", tasks.__doc__, re.MULTILINE):
        arrows |= {(upstream, name) for name in downstream.split(", ")}
    return arrows


def required() -> set[tuple[str, str]]:
    """Return the arrows that requires() gives, from the last tasks upwards, with one shard."""
    arrows, seen = set(), set()
    waiting = [
        FullPipeline(),
        BenchmarkModel(),
        SearchArchitecture(),
        CompareModels(models=("trained", "bicubic")),
        PackShard(dataset="DIV2K", shard="train-000000"),
        DescribeShard(dataset="DIV2K", shard="train-000000"),
        EmbedShard(dataset="DIV2K", shard="train-000000"),
        ScoreShard(dataset="DIV2K", metric="hyperiqa", shard="train-000000"),
        VerifyDataset(dataset="DIV2K", rebuild=True),
        ExportFolder(dataset="DIV2K"),
        ExportNcnn(),
        ExportShader(),
        PublishDataset(dataset="DIV2K", url="file:///tmp/published"),
        IndexSource(dataset="disc:0"),
        UpscaleImages(input=".", output_dir="out", model="trained"),
        UpscaleVideo(input="video.mkv", output_file="out.mkv", model="trained"),
        MeasureCodecGain(input=(Path("clip.mkv"),), models=("trained",), layers=(4,)),
        IndexSource(dataset="HQ-50K"),
        IndexSource(dataset="Inter4K"),
    ]
    while waiting:
        task = waiting.pop()
        if task.task_id in seen:
            continue
        seen.add(task.task_id)
        if isinstance(task, PackShard | DescribeShard | EmbedShard | ScoreShard):
            arrows.add((task.task_family, task.home().task_family))
        if isinstance(task, VerifyDataset):
            arrows.add((task.home().task_family, "VerifyDataset"))
        for upstream in [*flatten(task.requires()), *task.dynamic_requires()]:
            arrows.add((upstream.task_family, task.task_family))
            waiting.append(upstream)
    return arrows


def test_the_list_of_arrows_agrees_with_requires():
    assert drawn() == required()


def test_the_drawing_shows_every_task_and_only_real_arrows():
    drawing = tasks.__doc__.partition("The same as a list")[0]
    assert set(tasks.__all__) <= set(re.findall(r"\w+", drawing))
    name = r"([A-Z]\w+)(?: × N)?(?: \([^)]*\))?"
    to_the_right = set(re.findall(rf"{name} ─+►(?= ([A-Z]\w+))", drawing))
    to_the_left = {(one, other) for other, one in re.findall(rf"{name} ◄──(?= ([A-Z]\w+))", drawing)}
    assert len(to_the_right) >= 6 and len(to_the_left) >= 1
    assert to_the_right | to_the_left <= drawn()


def test_the_first_line_of_every_task_says_what_it_makes():
    for name in tasks.__all__:
        first = getattr(tasks, name).__doc__.strip().splitlines()[0]
        assert "→" in first, name


@pytest.mark.parametrize(("name", "value"), [("size_px", "256"), ("alpha", "white")])
def test_a_parameter_that_changes_the_output_changes_the_directory(name, value):
    config = luigi.configuration.get_config()
    before = MakeCrops(dataset="DIV2K").directory_name
    assert re.fullmatch(r"crops/DIV2K-[0-9a-f]{12}", before)
    config.set("crops", name, value)
    luigi.task_register.Register.clear_instance_cache()
    try:
        assert MakeCrops(dataset="DIV2K").directory_name != before
    finally:
        config.remove_option("crops", name)


def test_a_shard_is_written_into_the_directory_of_its_dataset():
    shard = PackShard(dataset="DIV2K", shard="train-000000")
    assert shard.directory() == MakeCrops(dataset="DIV2K").directory()
    assert shard.output().path.endswith("manifest/train-000000.json")


def test_only_luma_networks_are_exported_as_luma():
    with pytest.raises(UserError, match="luma alone, but vapsr3x3-x2 works on RGB"):
        ExportOnnx(planes="luma").name()
    config = luigi.configuration.get_config()
    config.set("model", "preset", "realtime-x2")
    luigi.task_register.Register.clear_instance_cache()
    try:
        ir = ExportOpenVINO(precision="fp16", planes="luma")
        assert (ir.name(), ir.parameters()) == (
            "realtime-x2-luma-fp16",
            {"precision": "fp16", "planes": "luma"},
        )
        assert ir.onnx.name() == "realtime-x2-luma-onnx"
        assert ExportOnnx().parameters() == {} and ExportOnnx().name() == "realtime-x2-onnx"
        video = UpscaleVideo(input="video.mkv", output_file="out.mkv", model="trained")
        assert video.requires()["model"].planes == "luma"
    finally:
        config.remove_option("model", "preset")


def test_a_filter_needs_no_model():
    assert set(EvaluateModel(model="bicubic", benchmark="Photos").requires()) == {"benchmark", "lpips"}


def test_int8_of_a_weights_file_never_waits_for_a_selection_that_is_not_there(tmp_path):
    weights, photos = tmp_path / "net.pth", tmp_path / "photos"
    weights.write_bytes(b"weights")
    photos.mkdir()
    (photos / "a.png").write_bytes(b"image")
    ir = ExportOpenVINO(model=str(weights), precision="int8")
    assert set(ir.requires()) == {"onnx"}
    given = ExportOpenVINO(model=str(weights), precision="int8", calibration=str(photos))
    assert isinstance(given.requires()["calibration"], IndexSource)
    assert given.directory_name != ir.directory_name
    trained = ExportOpenVINO(precision="int8")
    assert trained.requires()["calibration"].task_family == "SelectSamples"
    with pytest.raises(UserError, match="--calibration is for int8, but the precision is fp16"):
        ExportOpenVINO(model=str(weights), precision="fp16", calibration=str(photos)).name()


def test_fine_tuning_changes_the_name_and_is_offered_where_int8_loses_much(tmp_path):
    weights = tmp_path / "net.pth"
    weights.write_bytes(b"weights")
    ir = ExportOpenVINO(model=str(weights), precision="int8")
    plain, config = ir.settings(), luigi.configuration.get_config()
    assert "int8_finetune_steps" not in plain
    config.set("export", "int8_finetune_steps", "7")
    try:
        luigi.task_register.Register.clear_instance_cache()
        assert ir.settings() == {**plain, "int8_finetune_steps": 7}
    finally:
        config.remove_option("export", "int8_finetune_steps")
        luigi.task_register.Register.clear_instance_cache()
    assert ir._describe_tuning(None, 30.0, 0.04) == ""
    assert "--export-int8-finetune-steps 400" in ir._describe_tuning(None, 30.0, 0.06)
    tuned = {"steps": 7, "before_psnr_db": 29.9, "after_psnr_db": 29.98, "kept": True}
    assert "7 steps (0.100 dB before)" in ir._describe_tuning(tuned, 30.0, 0.02)
    assert "gained nothing (0.020 dB), left out" in ir._describe_tuning({**tuned, "kept": False}, 30.0, 0.1)


def test_a_model_in_the_box_is_taken_wherever_a_model_is_and_is_the_default_of_upscaling():
    video = UpscaleVideo(input="video.mkv", output_file="out.mkv")
    images = UpscaleImages(input=".", output_dir="out")
    assert video.model == images.model == "realtime-x2"
    assert video.requires() == images.requires() == {}, (
        "they need no torch: the IR is made of the graph in the box"
    )
    exact = UpscaleImages(input=".", output_dir="out", precision="int8").requires()["model"]
    assert (exact.model, exact.planes, exact.name()) == ("realtime-x2", "rgb", "realtime-x2-int8")
    assert images.parameters()["model"].keys() == {"weights"}
    ir = ExportOpenVINO(model="realtime-x2", precision="fp16", planes="luma")
    checkpoint = ir.onnx.checkpoint
    assert checkpoint.requires() == {} and checkpoint.parameters()["license"] == "MIT"
    for task in (
        EvaluateModel(model="realtime-x2", benchmark="Photos"),
        BenchmarkModel(model="realtime-x2"),
    ):
        assert task.requires()["model"].model == "realtime-x2"
    assert EvaluateModel(model="realtime-x2", benchmark="Photos").model_name() == "realtime-x2"
    with pytest.raises(UserError, match="--model takes trained, realtime-x2, or a file"):
        ExportOnnx(model="realtime-x3").name()
