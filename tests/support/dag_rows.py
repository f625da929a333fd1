"""How each task of the DAG is run alone, on small photographs: its command, its inputs, and what of its result varies.

The commands are in the order of the DAG, so that running all of them one after another, in one store, makes the inputs
of each before it is its turn. A task without a row fails the suite of faults.
"""

from dataclasses import dataclass

CONFIGURATION = """
[store]
catalog = {inputs}/catalog

[crops]
size_px = 96
downscale_factors = 1,2
crops_per_shard = 15
validation_fraction = 0.3

[video]
min_spacing_s = 0.2
typical_spacing_s = 0.4
max_spacing_s = 0.8

[selection]
datasets = Trip
max_validation = 8
parts = on

[model]
preset = realtime-x2

[training]
patch_px = 32
precision = fp32
batch_size = 4
max_steps = 6
steps_per_epoch = 3
save_every_steps = 1
warmup_steps = 1
world_size = 1
num_workers = 1

[evaluation]
benchmarks = {inputs}/benchmark
channel = rgb

[export]
calibration_crops = 8
held_out_crops = 4
search_trials = 0

[speed]
sizes = 48x32
precisions = fp16
devices = CPU
streams = 1
seconds = 0.05

[upscaling]
memory_mb = 400
"""
"""The luigi.cfg of all rows."""

_TRIP = ("--dataset", "Trip")
_BICUBIC = ("--model", "bicubic", "--segment-s", "0.5", "--preset", "ultrafast")
_BENCHMARK = ("--benchmark", "{inputs}/benchmark")
_EMBEDDER = ("--selection-embedder", "{inputs}/embedder.onnx")
_METRIC = ("--metric", "average={inputs}/average.onnx")
_CLIP = ("--clip", "{inputs}/clip.mkv", "--preset", "ultrafast", "--crf", "30")
_SEARCH = (
    "--search-trials", "2", "--search-steps", "4", "--search-validations", "2", "--search-layers", "2",
    "--search-channels", "4,8", "--search-unshuffle", "2", "--search-size", "32x32", "--search-seconds", "0.05",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A task, and the command that runs it alone once its inputs are done.

    Args:
        task: its name.
        arguments: its parameters. {inputs}, {disk} and {store} stand for folders, {dataset} for the crop dataset's
            directory in its stage.
        before: commands that finish inputs which no row makes.
        makes: patterns of the task's own results, for a command that also makes its inputs; empty for any other.
        varies: patterns of files whose bytes hold times, or say how the run went.
        may_be_half: patterns of files that count only once a record is there, which is sent last.
        is_fresh: whether the store is empty.
    """

    task: str
    arguments: tuple[str, ...] = ()
    before: tuple[tuple[str, ...], ...] = ()
    makes: tuple[str, ...] = ()
    varies: tuple[str, ...] = ()
    may_be_half: tuple[str, ...] = ()
    is_fresh: bool = False


ROWS = (
    Row("Download", _TRIP, varies=("store/downloads/*.jsonl",)),
    Row(
        "FetchUrls",
        ("--dataset", "Links"),
        before=(("Download", "--dataset", "Links"),),
        varies=("store/url_lists/*/journal.jsonl",),  # two runs at once note a dead link twice
    ),
    Row("UnpackVideos", ("--dataset", "Clips"), before=(("Download", "--dataset", "Clips"),)),
    Row("RipDisc", ("--title", "Holiday")),
    Row("EncodePoint", _CLIP),
    Row("EncodeLayer", (*_CLIP, "--upscaler", "bicubic", "--layer-crf", "36")),
    Row("MeasurePoint", (*_CLIP, "--upscaler", "bicubic")),
    Row(
        "MeasureCodecGain",
        ("--input", "{inputs}/clip.mkv", "--preset", "ultrafast", "--crf", "30,40"),
        makes=("store/codec-gains/*",),
    ),
    Row("IndexSource", (*_TRIP, "--min-side-px", "96")),
    Row("PlanCrops", _TRIP),
    Row("PackShard", (*_TRIP, "--part", "1/1")),
    Row("MakeCrops", _TRIP),
    Row("DescribeShard", (*_TRIP, "--shard", "train-000000")),
    Row("DescribeCrops", _TRIP),
    Row("FindDuplicates"),
    Row("EmbedShard", (*_TRIP, "--shard", "train-000000", *_EMBEDDER)),
    Row("EmbedCrops", (*_TRIP, *_EMBEDDER)),
    Row(
        "EmbedBenchmark",
        ("--dataset", "{inputs}/benchmark", *_EMBEDDER),
        before=(("IndexSource", "--dataset", "{inputs}/benchmark"),),
    ),
    Row("ScoreShard", (*_TRIP, "--shard", "train-000000", *_METRIC)),
    Row("ScoreCrops", (*_TRIP, *_METRIC)),
    Row("MatchParts"),
    Row("SelectSamples"),
    Row("ReviewSelection"),
    Row("SearchArchitecture", _SEARCH, varies=("store/searches/*",)),
    Row("TrainModel", varies=("store/runs/*/tensorboard/*", "store/runs/*/checkpoints/*")),
    Row("ExportCheckpoint"),
    Row("ExportShader"),
    Row("ExportOnnx"),
    Row("ExportOpenVINO"),
    Row("EvaluateBaselines", _BENCHMARK),
    Row("EvaluateModel", _BENCHMARK),
    Row(
        "CompareModels",
        ("--models", "trained,bicubic"),
        before=(("EvaluateModel", *_BENCHMARK, "--model", "bicubic"),),
    ),
    Row("BenchmarkModel", varies=("store/benchmarks/*/speed.*",)),
    Row("UpscaleImages", ("--input", "{inputs}/small", "--output-dir", "{disk}/out", "--model", "trained")),
    Row("UpscaleVideo", ("--input", "{inputs}/clip.mkv", "--output-file", "{disk}/out/clip.mkv", *_BICUBIC)),
    Row("VerifyDataset", (*_TRIP, "--level", "full")),
    Row("ExportFolder", _TRIP),
    Row("PublishDataset", (*_TRIP, "--url", "file://{disk}/published"), may_be_half=("published/*",)),
    Row("FetchDataset", ("--url", "file://{disk}/published/{dataset}"), is_fresh=True),
    Row("FullPipeline", makes=("store/reports/*",)),
)


NO_ROW_YET = ("ExportNcnn",)
"""Tasks that the suite names as not covered. A task that is neither here nor above fails it."""


def row_of(task: str) -> Row:
    """Return the row of a task."""
    return next(row for row in ROWS if row.task == task)


def without_row(tasks: list[str]) -> list[str]:
    """Return the tasks that have no row, and are not known to have none."""
    return sorted(set(tasks) - {row.task for row in ROWS} - set(NO_ROW_YET))
