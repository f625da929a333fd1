"""Measure how fast images are evaluated: SSIM compared with a plain loop over its window, and the whole evaluator.

    PYTHONPATH=. python tests/bench/evaluation.py [--rounds 9]

The images are scikit-image's photographs and a mosaic of them of 1356x2040, as RGB, beside their bicubic upscaling.
Loop and SSIM take turns. The results are medians: the CPU time of one comparison, and the wall time of three, one after
the other by the loop, at once by SSIM. Then MODELS models are evaluated on all images, from pixels to files: by the
loop and with baselines for each model, and by SSIM with baselines that are measured once. The models cost nothing, so
this is what evaluating costs beside the networks. The ratios stand beside GOAL, which the loads and cores of a machine
may miss: only a figure that differs by more than TOLERANCE makes the exit code 1.
"""

import argparse
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import skimage.data

from sr.evaluation import metrics
from sr.evaluation.baselines import evaluate_baselines
from sr.evaluation.evaluate import evaluate
from sr.evaluation.protocols import EvaluationProtocol
from sr.runtime.load import load_upscaler

PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "astronaut")
MOSAIC_HEIGHT, MOSAIC_WIDTH = 1356, 2040
UPSCALERS = 3
"""What is measured of an image: the model, bicubic and Lanczos."""
MODELS = 5
"""As many as FullPipeline evaluates on a benchmark dataset."""
GOAL = 6.0
TOLERANCE = 1e-9


def ssim_by_loop(first: np.ndarray, second: np.ndarray, data_range: float = metrics.DATA_RANGE) -> float:
    """Compute SSIM as the equation reads, with a loop over the window's rows and columns: the reference."""
    if first.ndim == 3:
        return float(
            np.mean([ssim_by_loop(first[..., c], second[..., c], data_range) for c in range(first.shape[2])])
        )
    x, y = first.astype(np.float64), second.astype(np.float64)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = blur_by_loop(x), blur_by_loop(y)
    variance_x = blur_by_loop(x * x) - mean_x**2
    variance_y = blur_by_loop(y * y) - mean_y**2
    covariance = blur_by_loop(x * y) - mean_x * mean_y
    structure = (2.0 * covariance + c2) / (variance_x + variance_y + c2)
    luminance = (2.0 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float(np.mean(structure * luminance))


def blur_by_loop(plane: np.ndarray) -> np.ndarray:
    """Compute the Gaussian mean of every full window."""
    offsets = np.arange(metrics.SSIM_WINDOW_PX) - metrics.SSIM_WINDOW_PX // 2
    kernel = np.exp(-0.5 * (offsets / metrics.SSIM_SIGMA_PX) ** 2)
    kernel /= kernel.sum()
    height, width = (size - metrics.SSIM_WINDOW_PX + 1 for size in plane.shape)
    rows = np.zeros((height, plane.shape[1]))
    for offset, weight in enumerate(kernel):
        rows += weight * plane[offset : offset + height]
    blurred = np.zeros((height, width))
    for offset, weight in enumerate(kernel):
        blurred += weight * rows[:, offset : offset + width]
    return blurred


def make_images() -> list[tuple[str, np.ndarray]]:
    """Return the photographs and their mosaic."""
    images = [(name, getattr(skimage.data, name)()) for name in PHOTOGRAPHS]
    large = np.concatenate([image[:300, :450] for _, image in images], axis=1)
    repeats = (-(-MOSAIC_HEIGHT // large.shape[0]), -(-MOSAIC_WIDTH // large.shape[1]), 1)
    return [*images, ("mosaic", np.tile(large, repeats)[:MOSAIC_HEIGHT, :MOSAIC_WIDTH])]


def measure_ms(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return the time of one call."""
    start = clock()
    work()
    return 1000.0 * (clock() - start)


def compare_ssim(name: str, image: np.ndarray, rounds: int) -> tuple[float, float]:
    """Print the row of an image; return the median ratio of wall times and the difference of the figures."""
    image = np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])
    upscaled = load_upscaler("bicubic")(np.ascontiguousarray(image[::2, ::2]))
    difference = abs(ssim_by_loop(image, upscaled) - metrics.ssim(image, upscaled))
    cpu: list[tuple[float, float]] = []
    wall: list[tuple[float, float]] = []
    three = [upscaled] * UPSCALERS
    with ThreadPoolExecutor(UPSCALERS) as pool:
        for _ in range(rounds):
            one = measure_ms(lambda: ssim_by_loop(image, upscaled))
            cpu.append((one, measure_ms(lambda: metrics.ssim(image, upscaled))))
            in_turn = measure_ms(lambda: [ssim_by_loop(image, each) for each in three], time.perf_counter)
            at_once = measure_ms(
                lambda: list(pool.map(lambda each: metrics.ssim(image, each), three)), time.perf_counter
            )
            wall.append((in_turn, at_once))
    cells = [f"{name} {image.shape[0]}x{image.shape[1]}"]
    for taken in (cpu, wall):
        cells += [f"{statistics.median(column):.1f}" for column in zip(*taken, strict=True)]
        ratios = [loop / ssim for loop, ssim in taken]
        cells.append(f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")
    print("| " + " | ".join([*cells, f"{difference:.0e}"]) + " |", flush=True)
    return statistics.median(ratios), difference


class Repeat:
    """A model that costs nothing: it repeats each pixel."""

    name, scale, sha256, color, fixed_size = "repeat", 2, None, "rgb", None

    def __call__(self, lr_image: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.asarray(lr_image).repeat(2, axis=0).repeat(2, axis=1))


def evaluate_models(images: list[tuple[str, np.ndarray]], folder: Path, is_new: bool) -> None:
    """Evaluate MODELS models, with the baselines measured once or for each."""
    protocol = EvaluationProtocol(scale=2, channel="rgb", border_px=2, degradation="pillow-bicubic")
    baselines = evaluate_baselines(images, protocol, folder) if is_new else None
    for _ in range(MODELS):
        evaluate(Repeat(), images, protocol, folder, baselines=baselines)


def compare_evaluations(images: list[tuple[str, np.ndarray]], rounds: int) -> None:
    """Print how long the evaluator takes for all models and images, in either way."""
    ssim = metrics.ssim
    taken: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            pair = []
            for is_new in (False, True):
                metrics.ssim = ssim if is_new else ssim_by_loop
                work = functools.partial(evaluate_models, images, Path(folder), is_new)
                pair.append(measure_ms(work, time.perf_counter) / 1000)
            taken.append((pair[0], pair[1]))
    metrics.ssim = ssim
    old_s, new_s = (statistics.median(column) for column in zip(*taken, strict=True))
    ratio = statistics.median(old / new for old, new in taken)
    print(
        f"\n{MODELS} models on {len(images)} images, without the networks: {old_s:.1f} s with the ",
        end="",
    )
    print(f"loop and baselines for each, {new_s:.1f} s now: {ratio:.1f} times as fast (goal: {GOAL:.0f})")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    images = make_images()
    print("| image | CPU, ms: loop | SSIM | times | wall of three, ms: loop | SSIM | times | difference |")
    print("|" + "---|" * 8)
    found = [compare_ssim(name, image, rounds) for name, image in images]
    compare_evaluations(images, max(rounds // 4, 1))
    speedup, difference = statistics.median(ratio for ratio, _ in found), max(one for _, one in found)
    print(f"SSIM: {speedup:.1f} times as fast by the median (goal: {GOAL:.0f}), ", end="")
    print(f"figures within {difference:.0e} (at most {TOLERANCE:.0e})")
    return int(difference > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
