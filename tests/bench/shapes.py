"""What a shape of the realtime family costs and gives: frames a second of its luma form in int8, model alone, and dB.

    python tests/bench/shapes.py 4x32 5x32 5x48 [--train FOLDER --judge Set5/x2 Set14/x2]

A shape is layers x channels; printed is a table for Markdown, a row each. Speed is that of random weights, on which it
does not hang; decoding and encoding are not counted. The machine should do nothing else meanwhile; the spread of the
rounds tells. With --train every shape then learns with branches, from equal patches of the images of FOLDER
(`starts.py` has the loop: no trainer, no DALI), and is judged in fp32 on PSNR of Y: which shape is the better one, not
how good it can become.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from starts import crops_of, judge, network_of, train
from torch import nn

from data.hashing import generator
from sr.export import ir_file
from sr.export.ir_graph import find_sensitive_places
from sr.export.parity import image_batches
from sr.export.quantize import quantize
from sr.models.luma_interface import LumaForm
from sr.models.presets import IN_256THS, ModelDescription
from sr.models.realtime import CELL_PX
from sr.models.registry import build_from
from sr.runtime.openvino_runtime import openvino as ov

SCALE = 2
WARM_UP_FRAMES = 5


class _Planes(nn.Module):
    """The luma form with planes as decoders hold them: uint8 [n,h,w,1] in, uint8 [n,2·h,2·w,1] out."""

    def __init__(self, form: LumaForm) -> None:
        super().__init__()
        self.form = form

    def forward(self, lr_image: torch.Tensor) -> torch.Tensor:
        return self.form(lr_image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def shape_of(layers: int, channels: int) -> dict[str, int]:
    """The configuration of a network of luma."""
    return {"scale": SCALE, "layers": layers, "channels": channels, "planes": 1}


def int8_form(layers: int, channels: int) -> ov.Model:
    """The luma form of a shape with random weights, quantized as an export is; any height and width."""
    torch.manual_seed(0)
    network = build_from(ModelDescription("realtime", shape_of(layers, channels), IN_256THS))
    # As it is made the last layer is zero, and a layer of zeros has no range to quantize.
    nn.init.normal_(network.core.layers[-1].weight, std=0.005)
    example = torch.zeros(1, 64, 64, 1, dtype=torch.uint8)
    model = ov.convert_model(
        _Planes(LumaForm(network)), example_input=example, input=[ov.PartialShape([-1, -1, -1, 1])]
    )
    model.inputs[0].set_names({"input"})
    places = find_sensitive_places(model)
    with tempfile.TemporaryDirectory() as scratch:
        marked = Path(scratch) / "marked.xml"
        ov.save_model(model, marked, compress_to_fp16=False)
        ir_file.mark_exact(marked, places.exact)
        model = ov.Core().read_model(marked)
        images = [image[..., :1] for batch in image_batches(CELL_PX) for image in batch]
        return quantize(model, images, places)[0]


def frames_a_second(
    model: ov.Model, height_px: int, width_px: int, hint: str, frames: int, rounds: int
) -> list[float]:
    """The rate of each round.

    Args:
        model: any size of planes.
        height_px, width_px: of the low frame; the model is compiled for it.
        hint: LATENCY, frames one after the other; or THROUGHPUT, as many at once as OpenVINO likes.
        frames: in a round.
        rounds: after the warm-up.
    """
    shaped = model.clone()
    shaped.reshape([1, height_px, width_px, 1])
    compiled = ov.Core().compile_model(shaped, "CPU", {"PERFORMANCE_HINT": hint})
    queue = ov.AsyncInferQueue(compiled, 1 if hint == "LATENCY" else 0)
    plane = generator("shapes", 0).integers(0, 256, (1, height_px, width_px, 1), dtype=np.uint8)
    for request in queue:
        request.set_input_tensor(ov.Tensor(plane.copy()))
    rates = []
    for count in [WARM_UP_FRAMES, *[frames] * rounds]:
        began = time.perf_counter()
        for _ in range(count):
            queue.start_async()
        queue.wait_all()
        rates.append(count / (time.perf_counter() - began))
    return rates[1:]


def cost(layers: int, channels: int, height_px: int, width_px: int) -> tuple[int, float]:
    """Parameters, and the multiplications of a frame in thousands of millions; the upscaling is not counted."""
    inner = (layers - 2) * channels**2 + channels * CELL_PX**2 * (1 + SCALE**2)
    parameters = 9 * inner + (layers - 1) * channels + (CELL_PX * SCALE) ** 2
    return parameters, 9 * inner * (height_px // CELL_PX) * (width_px // CELL_PX) / 1e9


def gains(layers: int, channels: int, options: argparse.Namespace) -> list[str]:
    """Train a shape; return a cell for each benchmark: PSNR in dB, and what is gained over bicubic."""
    network = network_of(
        ModelDescription("realtime", shape_of(layers, channels), IN_256THS), "reparameterize", 0
    )
    bicubic = [judge(network, benchmark) for benchmark in options.judge]  # untrained, the network is bicubic
    for _ in train(network, crops_of(options.train, SCALE), options.steps, options.rate):
        pass
    reached = [judge(network, benchmark) for benchmark in options.judge]
    return [f"{db:.2f} ({db - before:+.2f})" for db, before in zip(reached, bicubic, strict=True)]


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shapes", nargs="+", help="layers x channels, as 5x32")
    parser.add_argument("--size", default="540x960", help="height x width of the low frame, px, both even")
    parser.add_argument("--frames", type=int, default=60, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train", type=Path, help="a folder of photographs to learn from")
    parser.add_argument("--judge", type=Path, nargs="+", default=[], help="folders with HR/ and LR/")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1e-3)
    options = parser.parse_args(arguments)
    judged = options.judge if options.train else []
    height_px, width_px = (int(side) for side in options.size.split("x"))
    titles = ["layers x channels", "parameters", "GMAC", "fps, one at a time", "fps, several at once"]
    titles += [f"dB, {benchmark}" for benchmark in judged]
    print(f"| {' | '.join(titles)} |")
    print("|---" * len(titles) + "|")
    for shape in options.shapes:
        layers, channels = (int(part) for part in shape.split("x"))
        model = int8_form(layers, channels)
        parameters, gmacs = cost(layers, channels, height_px, width_px)
        cells = []
        for hint in ("LATENCY", "THROUGHPUT"):
            rates = frames_a_second(model, height_px, width_px, hint, options.frames, options.rounds)
            cells.append(f"{statistics.median(rates):.1f} ({min(rates):.1f} to {max(rates):.1f})")
        if judged:
            cells += gains(layers, channels, options)
        print(f"| {shape} | {parameters:,} | {gmacs:.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
