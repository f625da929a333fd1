"""Measure how fast the exported files run, as speedups over the unoptimized network, in one process.

    PYTHONPATH=. python tests/bench/inference.py SHARED [--store DIR] [--rounds 9] [--video MODEL.xml ...]

SHARED holds weights/vapsr3x3_x2.pth and images/. The network is exported to DIR by the command line, with int8
calibrated on crops of images/sunhays80; existing exports are reused. Then 256x256 is upscaled to 512x512 by:
- the reference: the published graph as ONNX of dynamic size, read by OpenVINO with the latency hint and nothing else;
- torch in eager mode, fp32;
- each export, with fixed and with dynamic size.
Rounds are interleaved, so that other work on the machine slows all alike.

Then 960x540 is upscaled to 1920x1080 by small IRs: those of --video, or realtime-x2 in int8 with random weights, whose
speed does not depend on them. Decoding and encoding are not included.

On a CPU with AMX the exit code is 1 if a speedup is below MIN_SPEEDUPS; on others the figures are only printed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.atomic_files import read_json
from sr.evaluation.timing import describe_host
from sr.runtime.openvino_runtime import AUTO_STREAMS, SINGLE_REQUEST, compile_for_device
from sr.runtime.openvino_runtime import openvino as ov
from sr.speed.profiled_model import open_network
from sr.speed.timing import TimingSettings, measure_throughput, summarize_percentiles, time_interleaved

PRECISIONS = ("fp32", "fp16", "int8")
SIDE_PX = 256
FRAME_HEIGHT, FRAME_WIDTH = 540, 960
MIN_SPEEDUPS = {"fp16, fixed size": 1.6, "int8, fixed size": 2.1}
"""With AMX: how many times as fast as the reference, at least."""
VIDEO_FPS = 60
"""The target for a video of FRAME_WIDTH x FRAME_HEIGHT."""
_RANDOM_WEIGHTS = "random.safetensors"


def export(weights: Path, shared: Path, store: Path, precision: str) -> Path:
    """Export a checkpoint through the command line, and return the .xml file."""
    options = ["--selection-datasets", str(shared / "images/sunhays80")]
    options += ["--evaluation-benchmarks", str(shared / "images/Set5/x2")]
    options += ["--crops-validation-fraction", "0.1"]
    options += ["--export-calibration-crops", "32", "--export-held-out-crops", "8"]
    if weights.name == _RANDOM_WEIGHTS:
        options += ["--export-int8-loss-db", "60"]  # random weights: only their speed matters
    command = [sys.executable, "-m", "luigi", "--module", "tasks", "ExportOpenVINO", "--model", str(weights)]
    command += ["--precision", precision, "--store-root", str(store), *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(result.stderr)
    return Path(result.stdout.strip().rpartition(": ")[2])


def write_random_realtime(folder: Path) -> Path:
    """Write random, untrained weights of realtime-x2, and return the file."""
    import torch
    from safetensors.torch import save_file

    from sr.models.presets import find_preset
    from sr.models.registry import build_network

    torch.manual_seed(0)
    weights = build_network(find_preset("realtime-x2")).core.state_dict()
    # The last layer is initialized with zeros, which have no range to quantize.
    filled = {
        name: tensor if tensor.any() else torch.randn_like(tensor) * 0.005 for name, tensor in weights.items()
    }
    save_file(filled, folder / _RANDOM_WEIGHTS)
    return folder / _RANDOM_WEIGHTS


def compile_exports(xmls: dict[str, Path], core: ov.Core) -> Iterator[tuple[str, ov.CompiledModel]]:
    """Yield every export, compiled for a fixed and for a dynamic size."""
    for precision, path in xmls.items():
        for size in ("fixed size", "dynamic size"):
            model = core.read_model(path)
            if size == "fixed size":
                model.reshape({"input": [1, SIDE_PX, SIDE_PX, 3]})
            yield f"{precision}, {size}", compile_for_device(core, model, "CPU", precision)


def find_model_dir(xml: Path, store: Path) -> Path:
    """Return the directory of the model that an IR was exported from; the store may hold others of its name."""
    weights_sha256 = read_json(xml.parent / "export.json")["metadata"]["weights_sha256"]
    directories = (path.parent for path in (store / "models").glob("*/model.json"))
    return next(
        directory
        for directory in directories
        if read_json(directory / "model.json")["weights_sha256"] == weights_sha256
    )


def prepare_calls(
    xmls: dict[str, Path], model_dir: Path, core: ov.Core, lr_image: npt.NDArray[np.uint8]
) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name; "reference" first."""
    import torch

    from sr.runtime.network_upscalers import TorchUpscaler

    latency = {"PERFORMANCE_HINT": "LATENCY"}
    with open_network("vapsr3x3_x2", model_dir, xmls) as model:
        dynamic, fixed = core.read_model(model.reference), core.read_model(model.reference)
        fixed.reshape({"input": list(lr_image.shape)})
        compiled = {
            "reference": core.compile_model(dynamic, "CPU", latency),
            "reference, fixed size": core.compile_model(fixed, "CPU", latency),
        }
    compiled |= dict(compile_exports(xmls, core))
    int8 = core.read_model(xmls["int8"])
    int8.reshape({"input": list(lr_image.shape)})
    compiled["int8, fixed size, the rest in f32"] = compile_for_device(core, int8, "CPU", "fp32")
    calls = {name: _make_call(one.create_infer_request(), lr_image) for name, one in compiled.items()}
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    eager = TorchUpscaler(model_dir)
    return calls | {"torch eager fp32": lambda: eager.run(lr_image)}


def _make_call(request: ov.InferRequest, lr_image: npt.NDArray[np.uint8]) -> Callable[[], object]:
    return lambda: request.infer({"input": lr_image})


def print_throughputs(
    path: Path, precision: str, core: ov.Core, settings: TimingSettings, size: tuple[int, int]
) -> float:
    """Print frames per second for one request after another and by number of streams; return the best."""
    rates = []
    for streams in dict.fromkeys((SINGLE_REQUEST, 1, len(os.sched_getaffinity(0)), AUTO_STREAMS)):
        model = core.read_model(path)
        channels = model.input("input").partial_shape[3].get_length()
        lr_image = np.random.default_rng(0).integers(0, 256, (1, *size, channels), np.uint8)
        model.reshape({"input": list(lr_image.shape)})
        compiled = compile_for_device(core, model, "CPU", precision, streams=streams)
        if streams == SINGLE_REQUEST:
            call = _make_call(compiled.create_infer_request(), lr_image)
            rate = 1 / statistics.median(time_interleaved({"": call}, settings)[""])
            label = "one request after another"
        else:
            queue = ov.AsyncInferQueue(compiled)
            measured = measure_throughput(
                lambda queue=queue, lr_image=lr_image: queue.start_async({"input": lr_image}),
                queue.wait_all,
                len(queue),
                settings,
            )
            rate = measured["frames_per_s"]
            count = "auto" if streams == AUTO_STREAMS else str(streams)
            label = f"streams: {count}, {measured['requests']} requests"
        print(f"  {rate:8.2f} fps  {channels} channels, {label}")
        rates.append(rate)
    return max(rates)


def time_startup(path: Path) -> list[float]:
    """Return the milliseconds to read and compile, first with an empty cache and then from the cache."""
    milliseconds = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            start = time.perf_counter()
            core = ov.Core()
            compile_for_device(core, core.read_model(path), "CPU", "int8", cache=Path(cache))
            milliseconds.append(1000 * (time.perf_counter() - start))
    return milliseconds


def print_speedups(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Time the calls, print their latencies, and return how many times as fast as the reference each is."""
    print(f"{SIDE_PX}x{SIDE_PX} → {2 * SIDE_PX}x{2 * SIDE_PX}, vapsr3x3_x2, {rounds} interleaved rounds")
    settings = TimingSettings(min_rounds=rounds, max_rounds=rounds)
    seconds = time_interleaved(calls, settings)
    speedups = {}
    for name, durations in seconds.items():
        summary = summarize_percentiles(durations)
        speedups[name] = statistics.median(seconds["reference"]) / statistics.median(durations)
        spread = f"({summary['p10_ms']:.1f} to {summary['p90_ms']:.1f})"
        print(f"  {summary['median_ms']:8.1f} ms {spread:22s} {speedups[name]:5.2f}x  {name}")
    return speedups


def parse_options(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path)
    parser.add_argument("--store", type=Path, help="keep the exports here; by default they are removed")
    parser.add_argument("--rounds", type=int, default=9, help="how often each model is timed (default: 9)")
    parser.add_argument(
        "--video",
        type=Path,
        action="append",
        default=[],
        metavar="MODEL.xml",
        help="an IR to time on video frames",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Measure, print, and return the exit code."""
    options = parse_options(arguments)
    shared = options.shared.resolve()
    core, settings = ov.Core(), TimingSettings(budget_s=3.0)
    lr_image = np.random.default_rng(0).integers(0, 256, (1, SIDE_PX, SIDE_PX, 3), np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        store = (options.store or Path(scratch)).resolve()
        weights = shared / "weights" / "vapsr3x3_x2.pth"
        xmls = {precision: export(weights, shared, store, precision) for precision in PRECISIONS}
        calls = prepare_calls(xmls, find_model_dir(xmls["fp32"], store), core, lr_image)
        speedups = print_speedups(calls, options.rounds)
        print("Start-up of int8: {:.0f} ms, from the cache {:.0f} ms".format(*time_startup(xmls["int8"])))
        print("Several requests at once, int8:")
        print_throughputs(xmls["int8"], "int8", core, settings, (SIDE_PX, SIDE_PX))
        videos = options.video or [export(write_random_realtime(Path(scratch)), shared, store, "int8")]
        for path in videos:
            print(f"{FRAME_WIDTH}x{FRAME_HEIGHT} → {2 * FRAME_WIDTH}x{2 * FRAME_HEIGHT}, {path.parent.name}")
            best = print_throughputs(path, "int8", core, settings, (FRAME_HEIGHT, FRAME_WIDTH))
            print(f"  {VIDEO_FPS} fps {'reached' if best >= VIDEO_FPS else 'missed'}: {best:.2f} fps at best")
    host = describe_host()
    print(
        f"{host['processor']}, {host['cores']} cores, load average {host['load_average']}; "
        f"OpenVINO {ov.get_version()}"
    )
    if "amx_int8" not in Path("/proc/cpuinfo").read_text():
        print("This CPU has no AMX: the speedups are not checked.")
        return 0
    return int(any(speedups[name] < minimum for name, minimum in MIN_SPEEDUPS.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
