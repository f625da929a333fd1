"""Check that upscaling a video through an IR never hangs, with 2, 4 and 8 streams and videos of 8 and 10 bits.

    PYTHONPATH=tests/support python tests/faults/streams.py [--runs 200] [--limit-s 120] [--seed 0]

A deadlock between threads that use a native library for the first time shows in some processes only, and early. So each
run is a short video in a new process with a time limit of its own; the configurations take turns in random order. In
every second run the threads meet before their first inference, so that all are the first at once. A process that is
over its limit is killed after it has printed its threads' Python stacks. The exit code is 1 if there is one, or if a
result lacks frames.

With `--without-warm-up`, what `sr.runtime.openvino_runtime` does before any thread is left out, and runs hang.
"""

import argparse
import faulthandler
import importlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

FRAMES, HEIGHT, WIDTH = 16, 36, 64
STREAMS = (2, 4, 8)
CLIPS = {"8 bits": "yuv420p", "10 bits": "yuv420p10le"}
_DUMP_S = 2.0


def prepare(scratch: Path) -> None:
    """Make the videos, and a small network as an IR of luma."""
    import numpy as np
    from safetensors.torch import save_file
    from videos import make_video

    from sr.export.to_onnx import export_onnx
    from sr.export.to_openvino import export_openvino
    from sr.models.checkpoint import export_checkpoint
    from sr.models.presets import IN_256THS, ModelDescription
    from sr.models.registry import build_network

    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    for name, pixels in CLIPS.items():
        make_video(scratch / f"{name}.mkv", lambda number: np.roll(noise, number, 1), FRAMES, pixels=pixels)
    sizes = {"scale": 2, "layers": 3, "channels": 8, "planes": 1}
    core = build_network(ModelDescription("realtime", sizes, IN_256THS)).core
    save_file(core.state_dict(), scratch / "weights.safetensors")
    export_checkpoint(scratch / "weights.safetensors", scratch / "model")
    export_onnx(scratch / "model", scratch / "onnx", planes="luma")
    export_openvino(scratch / "onnx", scratch / "ir", "fp32")


def upscale(clip: Path, ir: Path, folder: Path, streams: int, meets: bool, is_warm: bool) -> None:
    """Upscale a video in this process, which has done nothing else yet."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    os.sched_getaffinity = lambda process: set(range(streams))  # the number of streams is that of the cores
    if not is_warm:
        leave_out_warm_up()
    from sr.upscale.video.frame_network import OpenVINONetwork
    from sr.upscale.video.settings import VideoUpscaleSettings
    from sr.upscale.video.upscale_video import upscale_video

    if meets:
        meeting, met, infer_request = (
            threading.Barrier(streams),
            threading.local(),
            OpenVINONetwork._infer_request,
        )

        def meet(*given):
            request = infer_request(*given)
            if not hasattr(met, "done"):
                met.done = meeting.wait()
            return request

        OpenVINONetwork._infer_request = meet
    settings = VideoUpscaleSettings(preset="ultrafast", encoder_threads=2)
    record = upscale_video(clip, folder / "out.mkv", folder / "store", ir, settings, stall_timeout_s=0)
    if record["frames"] != FRAMES:
        raise SystemExit(f"{record['frames']} of {FRAMES} frames")


def leave_out_warm_up() -> None:
    """Import the runtime without the tensor that it makes and reads."""
    sys.modules["openvino_telemetry"] = None
    import openvino

    tensor, openvino.Tensor = openvino.Tensor, lambda *given: argparse.Namespace(data=None)
    importlib.import_module("sr.runtime.openvino_runtime")
    openvino.Tensor = tensor


def run_once(
    scratch: Path, clip: str, streams: int, meets: bool, limit_s: float, is_warm: bool
) -> tuple[float, str]:
    """Upscale in a new process; return the seconds that it took, and what was wrong."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [
            sys.executable,
            __file__,
            "--clip",
            str(scratch / f"{clip}.mkv"),
            "--ir",
            str(scratch / "ir"),
        ]
        command += ["--folder", folder, "--streams", str(streams)]
        command += ["--meet"] * meets + ["--without-warm-up"] * (not is_warm)
        start = time.monotonic()
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            _, errors = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGUSR1)
            time.sleep(_DUMP_S)
            process.kill()
            return limit_s, f"over {limit_s:g} s\n{process.communicate()[1]}"
        return time.monotonic() - start, "" if process.returncode == 0 else errors


def run_all(scratch: Path, runs: int, limit_s: float, seed: int, is_warm: bool) -> int:
    """Do all runs and print what they took; return how many failed."""
    cases = [(clip, streams) for clip in CLIPS for streams in STREAMS]
    order = [(*cases[number // 2 % len(cases)], number % 2 == 0) for number in range(runs)]
    random.Random(seed).shuffle(order)
    taken: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    failed: Counter[tuple[str, int]] = Counter()
    for number, (clip, streams, meets) in enumerate(order, 1):
        seconds, fault = run_once(scratch, clip, streams, meets, limit_s, is_warm)
        taken[clip, streams].append(seconds)
        if fault:
            failed[clip, streams] += 1
            print(f"run {number}, {clip}, {streams} streams: {fault}", flush=True)
    for (clip, streams), all_s in taken.items():
        if all_s:
            how_long = f"median {statistics.median(all_s):.1f} s, longest {max(all_s):.1f} s"
            print(f"{clip}, {streams} streams: {len(all_s)} runs, {how_long}, {failed[clip, streams]} failed")
    print(f"{runs} runs in random order (seed {seed}), limit {limit_s:g} s: {failed.total()} failed")
    return failed.total()


def main(argv: list[str]) -> int:
    """Run all cases, or one of them in this process; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--limit-s", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without-warm-up", action="store_true")
    for name in ("--clip", "--ir", "--folder", "--prepare"):  # for its own processes
        parser.add_argument(name, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--streams", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--meet", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.prepare:
        prepare(options.prepare)
        return 0
    if options.clip:
        is_warm = not options.without_warm_up
        upscale(options.clip, options.ir, options.folder, options.streams, options.meet, is_warm)
        return 0
    os.environ["SR_COMPILED_MODELS"] = "off"
    with tempfile.TemporaryDirectory(prefix="streams-") as name:
        subprocess.run([sys.executable, __file__, "--prepare", name], check=True)
        failed = run_all(Path(name), options.runs, options.limit_s, options.seed, not options.without_warm_up)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
