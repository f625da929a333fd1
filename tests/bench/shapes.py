"""Compare shapes of the realtime architecture: frames per second of the luma interface in int8, and PSNR.

    python tests/bench/shapes.py 4x32 5x32 5x48 [--train FOLDER --benchmarks Set5/x2 Set14/x2]

A shape is layers x channels. The output is a Markdown table with a row for each. Speed is measured with random weights,
on which it does not depend; decoding and encoding are not included. Let the machine do nothing else meanwhile: the
spread of the rounds shows whether it did.

With --train each shape is then trained with reparameterization on the same patches of the images of FOLDER
(`starts.py` has the loop: no trainer, no DALI), and evaluated in fp32 by PSNR on Y. This shows which shape is better,
not how good it can become.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from starts import build_start, evaluate, load_crops, train
from torch import nn

from data.hashing import generator
from sr.export import ir_file
from sr.export.ir_graph import find_sensitive_operations
from sr.export.parity import make_test_batches
from sr.export.quantize import quantize
from sr.models.luma_interface import LumaInterface
from sr.models.presets import IN_256THS, ModelDescription
from sr.models.realtime import CELL_PX
from sr.models.registry import build_network
from sr.runtime.openvino_runtime import openvino as ov

SCALE = 2
WARM_UP_FRAMES = 5


class _ChannelsLast(nn.Module):
    """The luma interface on planes as decoders hold them: uint8 [n,h,w,1] in, uint8 [n,2·h,2·w,1] out."""

    def __init__(self, network: LumaInterface) -> None:
        super().__init__()
        self.network = network

    def forward(self, lr_image: torch.Tensor) -> torch.Tensor:
        upscaled: torch.Tensor = self.network(lr_image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return upscaled


def describe_shape(layers: int, channels: int) -> ModelDescription:
    """Describe a luma network of a shape."""
    configuration = {"scale": SCALE, "layers": layers, "channels": channels, "planes": 1}
    return ModelDescription("realtime", configuration, IN_256THS)


def build_int8(layers: int, channels: int) -> ov.Model:
    """Build the luma interface of a shape with random weights, quantized as an export is; of dynamic size."""
    torch.manual_seed(0)
    network = build_network(describe_shape(layers, channels))
    # The last layer is initialized with zeros, which have no range to quantize.
    nn.init.normal_(network.core.layers[-1].weight, std=0.005)
    example = torch.zeros(1, 64, 64, 1, dtype=torch.uint8)
    model = ov.convert_model(
        _ChannelsLast(LumaInterface(network)), example_input=example, input=[ov.PartialShape([-1, -1, -1, 1])]
    )
    model.inputs[0].set_names({"input"})
    places = find_sensitive_operations(model)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.xml"
        ov.save_model(model, path, compress_to_fp16=False)
        ir_file.disable_precision_conversion(path, places.full_precision)
        model = ov.Core().read_model(path)
        images = [image[..., :1] for batch in make_test_batches(CELL_PX) for image in batch]
        return quantize(model, images, places)[0]


def measure_fps(
    model: ov.Model, height_px: int, width_px: int, hint: str, frames: int, rounds: int
) -> list[float]:
    """Measure the frames per second of each round.

    Args:
        model: of planes, of dynamic size.
        height_px, width_px: of the LR frame; the model is compiled for it.
        hint: LATENCY, one frame after the other; or THROUGHPUT, as many at once as OpenVINO chooses.
        frames: in a round.
        rounds: after the warm-up.
    """
    fixed = model.clone()
    fixed.reshape([1, height_px, width_px, 1])
    compiled = ov.Core().compile_model(fixed, "CPU", {"PERFORMANCE_HINT": hint})
    queue = ov.AsyncInferQueue(compiled, 1 if hint == "LATENCY" else 0)
    plane = generator("shapes", 0).integers(0, 256, (1, height_px, width_px, 1), dtype=np.uint8)
    for request in queue:
        request.set_input_tensor(ov.Tensor(plane.copy()))
    rates = []
    for count in [WARM_UP_FRAMES, *[frames] * rounds]:
        start = time.perf_counter()
        for _ in range(count):
            queue.start_async()
        queue.wait_all()
        rates.append(count / (time.perf_counter() - start))
    return rates[1:]


def count_cost(layers: int, channels: int, height_px: int, width_px: int) -> tuple[int, float]:
    """Count the parameters, and the multiply-adds of a frame in 10⁹; the final upsampling is not counted."""
    inner = (layers - 2) * channels**2 + channels * CELL_PX**2 * (1 + SCALE**2)
    parameters = 9 * inner + (layers - 1) * channels + (CELL_PX * SCALE) ** 2
    return parameters, 9 * inner * (height_px // CELL_PX) * (width_px // CELL_PX) / 1e9


def train_and_evaluate(layers: int, channels: int, options: argparse.Namespace) -> list[str]:
    """Train a shape; return a cell for each benchmark dataset: PSNR in dB, and the gain over bicubic."""
    network = build_start(describe_shape(layers, channels), "reparameterize", 0)
    # An untrained network equals bicubic.
    bicubic = [evaluate(network, benchmark) for benchmark in options.benchmarks]
    for _ in train(network, load_crops(options.train, SCALE), options.steps, options.rate):
        pass
    psnrs = [evaluate(network, benchmark) for benchmark in options.benchmarks]
    return [f"{db:.2f} ({db - before:+.2f})" for db, before in zip(psnrs, bicubic, strict=True)]


def make_row(shape: str, options: argparse.Namespace) -> list[str]:
    """Measure a shape, and return the cells of its row."""
    layers, channels = (int(part) for part in shape.split("x"))
    height_px, width_px = (int(side) for side in options.size.split("x"))
    model = build_int8(layers, channels)
    parameters, gmacs = count_cost(layers, channels, height_px, width_px)
    cells = [shape, f"{parameters:,}", f"{gmacs:.2f}"]
    for hint in ("LATENCY", "THROUGHPUT"):
        rates = measure_fps(model, height_px, width_px, hint, options.frames, options.rounds)
        cells.append(f"{statistics.median(rates):.1f} ({min(rates):.1f} to {max(rates):.1f})")
    if options.train and options.benchmarks:
        cells += train_and_evaluate(layers, channels, options)
    return cells


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shapes", nargs="+", help="layers x channels, such as 5x32")
    parser.add_argument("--size", default="540x960", help="height x width of the LR frame, px, both even")
    parser.add_argument("--frames", type=int, default=60, help="frames in a round (default: 60)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train", type=Path, help="a folder of training images")
    parser.add_argument("--benchmarks", type=Path, nargs="+", default=[], help="folders with HR/ and LR/")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate (default: 0.001)")
    options = parser.parse_args(arguments)
    heads = ["layers x channels", "parameters", "GMAC", "fps, one at a time", "fps, several at once"]
    heads += [f"dB, {benchmark}" for benchmark in options.benchmarks if options.train]
    print(f"| {' | '.join(heads)} |")
    print("|---" * len(heads) + "|")
    for shape in options.shapes:
        print(f"| {' | '.join(make_row(shape, options))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
