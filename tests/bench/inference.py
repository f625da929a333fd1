"""How fast the exported forms run, as ratios to the plain way of running the same network, in one run.

    PYTHONPATH=. python tests/bench/inference.py SHARED [--store DIR] [--rounds 9] [--video MODEL.xml ...]

SHARED holds weights/vapsr3x3_x2.pth and images/. The network is exported to DIR by the command line (int8 calibrated on
crops of images/sunhays80; where DIR has the exports already they are taken), then 256x256 is upscaled to 512x512 by:
the reference (the published graph as ONNX of any size, read by OpenVINO with the latency hint and nothing else), torch
eager in fp32, and each form at a fixed and at any size. Rounds go in turn, so that a busy machine slows all alike.
Then 960x540 → 1920x1080 by small IRs: those of --video, or realtime-x2 in int8 with random weights, whose speed does not
hang on them. Decoding and encoding are not counted.

On a CPU with AMX the exit code is 1 where a ratio of LEAST is missed; on others the figures are printed as they are.
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
from typing import Any

import numpy as np

from data.atomic_files import read_json
from sr.evaluation.timing import host_facts
from sr.runtime.openvino_runtime import DEVICES_CHOICE, ONE_AFTER_ANOTHER, compile_for
from sr.runtime.openvino_runtime import openvino as ov
from sr.speed.subjects import network
from sr.speed.timing import Limits, in_turn, side_by_side, spread

PRECISIONS = ("fp32", "fp16", "int8")
SIDE_PX = 256
FRAME_HEIGHT, FRAME_WIDTH = 540, 960
LEAST = {"fp16, fixed size": 1.6, "int8, fixed size": 2.1}
"""With AMX: times as fast as the reference, at least."""
VIDEO_FPS = 60
"""What a video of FRAME_WIDTH x FRAME_HEIGHT should reach."""
_MADE = "made.safetensors"


def export(weights: Path, shared: Path, store: Path, precision: str) -> Path:
    """Export through the command line, and return the .xml file."""
    options = ["--selection-datasets", str(shared / "images/sunhays80")]
    options += [
        "--evaluation-benchmarks",
        str(shared / "images/Set5/x2"),
        "--crops-validation-fraction",
        "0.1",
    ]
    options += ["--export-calibration-crops", "32", "--export-held-out-crops", "8"]
    if weights.name == _MADE:
        options += ["--export-int8-loss-db", "60"]  # random weights: only their speed is looked at
    command = [sys.executable, "-m", "luigi", "--module", "tasks", "ExportOpenVINO", "--model", str(weights)]
    command += ["--precision", precision, "--store-root", str(store), *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(result.stderr)
    return Path(result.stdout.strip().rpartition(": ")[2])


def random_realtime(folder: Path) -> Path:
    """Write weights of realtime-x2 that nobody trained."""
    import torch
    from safetensors.torch import save_file

    from sr.models.presets import find_preset
    from sr.models.registry import build_from

    torch.manual_seed(0)
    weights = build_from(find_preset("realtime-x2")).core.state_dict()
    # As it is made the last layer is zero, and a layer of zeros has no range to quantize.
    filled = {name: one if one.any() else torch.randn_like(one) * 0.005 for name, one in weights.items()}
    save_file(filled, folder / _MADE)
    return folder / _MADE


def compiled_forms(xmls: dict[str, Path], core: ov.Core) -> Iterator[tuple[str, ov.CompiledModel]]:
    """Yield every form at a fixed size and at any."""
    for precision, path in xmls.items():
        for size in ("fixed size", "any size"):
            model = core.read_model(path)
            if size == "fixed size":
                model.reshape({"input": [1, SIDE_PX, SIDE_PX, 3]})
            yield f"{precision}, {size}", compile_for(core, model, "CPU", precision)


def model_of(xml: Path, store: Path) -> Path:
    """The directory of the model that an IR was made of; the store may hold others of its name."""
    wanted = read_json(xml.parent / "export.json")["metadata"]["weights_sha256"]
    made = (path.parent for path in (store / "models").glob("*/model.json"))
    return next(one for one in made if read_json(one / "model.json")["weights_sha256"] == wanted)


def calls(
    xmls: dict[str, Path], model_dir: Path, core: ov.Core, lr_image: np.ndarray
) -> dict[str, Callable[[], Any]]:
    """What is timed, by name; "reference" first."""
    import torch

    from sr.runtime.upscalers import TorchUpscaler

    latency = {"PERFORMANCE_HINT": "LATENCY"}
    with network("vapsr3x3_x2", model_dir, xmls) as subject:
        plain, fixed = core.read_model(subject.reference), core.read_model(subject.reference)
        fixed.reshape({"input": list(lr_image.shape)})
        made = {
            "reference": core.compile_model(plain, "CPU", latency),
            "reference, fixed size": core.compile_model(fixed, "CPU", latency),
        }
    made |= dict(compiled_forms(xmls, core))
    rest = core.read_model(xmls["int8"])
    rest.reshape({"input": list(lr_image.shape)})
    made["int8, fixed size, the rest in f32"] = compile_for(core, rest, "CPU", "fp32")
    timed = {name: _call(compiled.create_infer_request(), lr_image) for name, compiled in made.items()}
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    eager = TorchUpscaler(model_dir)
    return timed | {"torch eager fp32": lambda: eager.run(lr_image)}


def _call(request: ov.InferRequest, lr_image: np.ndarray) -> Callable[[], Any]:
    return lambda: request.infer({"input": lr_image})


def several_at_once(
    path: Path, precision: str, core: ov.Core, limits: Limits, size: tuple[int, int]
) -> float:
    """Print frames a second: one after another, and by number of streams; return the best."""
    rates = []
    for streams in dict.fromkeys((ONE_AFTER_ANOTHER, 1, len(os.sched_getaffinity(0)), DEVICES_CHOICE)):
        model = core.read_model(path)
        channels = model.input("input").partial_shape[3].get_length()
        lr_image = np.random.default_rng(0).integers(0, 256, (1, *size, channels), np.uint8)
        model.reshape({"input": list(lr_image.shape)})
        compiled = compile_for(core, model, "CPU", precision, streams=streams)
        if streams == ONE_AFTER_ANOTHER:
            call = _call(compiled.create_infer_request(), lr_image)
            seconds = in_turn({"": call}, limits)[""]
            rate, how = 1 / statistics.median(seconds), "one after another"
        else:
            queue = ov.AsyncInferQueue(compiled)
            found = side_by_side(
                lambda queue=queue, lr_image=lr_image: queue.start_async({"input": lr_image}),
                queue.wait_all,
                len(queue),
                limits,
            )
            named = "the device's choice of" if streams == DEVICES_CHOICE else str(streams)
            rate, how = found["frames_per_s"], f"{named} streams, {found['requests']} requests"
        print(f"  {rate:8.2f} fps  {channels} channels, {how}")
        rates.append(rate)
    return max(rates)


def starts(path: Path) -> list[float]:
    """Milliseconds to read and compile, with nothing in the cache and then with itself in it."""
    found = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            begun = time.perf_counter()
            core = ov.Core()
            compile_for(core, core.read_model(path), "CPU", "int8", cache=Path(cache))
            found.append(1000 * (time.perf_counter() - begun))
    return found


def main(argv: list[str]) -> int:
    """Do it, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path)
    parser.add_argument("--store", type=Path, help="where exports are kept; by default they are not")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--video", type=Path, action="append", default=[], metavar="MODEL.xml")
    options = parser.parse_args(argv)
    core, limits = ov.Core(), Limits(budget_s=3.0)
    rounds = Limits(least_rounds=options.rounds, most_rounds=options.rounds)
    lr_image = np.random.default_rng(0).integers(0, 256, (1, SIDE_PX, SIDE_PX, 3), np.uint8)
    with tempfile.TemporaryDirectory() as scratch:
        store = (options.store or Path(scratch)).resolve()
        weights = options.shared.resolve() / "weights" / "vapsr3x3_x2.pth"
        xmls = {name: export(weights, options.shared.resolve(), store, name) for name in PRECISIONS}
        timed = calls(xmls, model_of(xmls["fp32"], store), core, lr_image)
        seconds = in_turn(timed, rounds)
        ratios = {}
        print(
            f"{SIDE_PX}x{SIDE_PX} → {2 * SIDE_PX}x{2 * SIDE_PX}, vapsr3x3_x2, {options.rounds} rounds in turn"
        )
        for name, taken in seconds.items():
            one = spread(taken)
            ratios[name] = statistics.median(seconds["reference"]) / statistics.median(taken)
            between = f"({one['p10_ms']:.1f} to {one['p90_ms']:.1f})"
            print(f"  {one['median_ms']:8.1f} ms {between:22s} {ratios[name]:5.2f}x  {name}")
        print("Start of the int8 form: {:.0f} ms, again {:.0f} ms".format(*starts(xmls["int8"])))
        print("Several frames at once, int8:")
        several_at_once(xmls["int8"], "int8", core, limits, (SIDE_PX, SIDE_PX))
        videos = options.video or [
            export(random_realtime(Path(scratch)), options.shared.resolve(), store, "int8")
        ]
        for path in videos:
            print(f"{FRAME_WIDTH}x{FRAME_HEIGHT} → {2 * FRAME_WIDTH}x{2 * FRAME_HEIGHT}, {path.parent.name}")
            best = several_at_once(path, "int8", core, limits, (FRAME_HEIGHT, FRAME_WIDTH))
            print(f"  {VIDEO_FPS} fps: {'reached' if best >= VIDEO_FPS else 'missed'}, {best:.2f} at best")
    host = host_facts()
    print(
        f"{host['processor']}, {host['cores']} cores, load {host['load_average']}; OpenVINO {ov.get_version()}"
    )
    missed = {name: least for name, least in LEAST.items() if ratios[name] < least}
    has_amx = "amx_int8" in Path("/proc/cpuinfo").read_text()
    if not has_amx:
        print("This CPU has no AMX: the figures are as they are.")
    return 1 if missed and has_amx else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
