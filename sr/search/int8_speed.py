"""How long a network takes for a frame in int8 on this machine, timed in turns with a reference.

Weights are random: they do not change the speed, so that a candidate is timed before it is trained. A machine is never
quiet for as long as a search takes: what counts is the ratio to the reference, which was timed in the same rounds.
"""

import dataclasses
import functools
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from data.errors import UserError
from data.hashing import generator
from sr.export import ir_file
from sr.export.ir_graph import find_sensitive_operations
from sr.export.parity import make_test_batches
from sr.export.quantize import quantize
from sr.export.to_onnx import ImageInterface
from sr.models.luma_interface import LumaInterface
from sr.models.presets import ModelDescription, find_preset
from sr.models.registry import build_network
from sr.runtime.openvino_runtime import openvino as ov
from sr.speed.timing import TimingSettings, time_interleaved

RESIDUAL_STD = 0.005
"""Size of the random weights of the last layer, which begins with zeros: they have no range to quantize."""


@dataclasses.dataclass(frozen=True)
class Speed:
    """How long a frame takes."""

    ms: float
    """The reference's milliseconds, as the study has them, times `ratio`: comparable within the study."""
    ratio: float
    """The median of this network's time, divided by that of the reference in the same rounds."""
    measured_ms: float
    """The median as it was measured."""
    reference_ms: float
    """That of the reference in the same rounds."""
    rounds: int


class SpeedMeter:
    """Times networks in int8 on OpenVINO's CPU device, one frame after the other."""

    def __init__(self, reference: str, planes: str, size: tuple[int, int], seconds: float) -> None:
        """Prepare, without loading a model yet.

        Args:
            reference: a preset.
            planes: luma or rgb: the planes of a frame, in and out.
            size: height and width of the LR frame.
            seconds: of each network in a measurement.
        """
        self._reference, self._planes, self._size = reference, planes, size
        self._timing = TimingSettings(budget_s=seconds)

    @functools.cached_property
    def _run_reference(self) -> Callable[[], object]:
        return self._compile(find_preset(self._reference))

    def measure(self, description: ModelDescription, share: Callable[[float], float]) -> Speed:
        """Time a network.

        Args:
            description: of the network.
            share: takes the milliseconds of the reference, and returns those that the study uses.

        Raises:
            UserError: the size is no multiple of a cell, or the network cannot be quantized.
        """
        calls = {"reference": self._run_reference, "network": self._compile(description)}
        times = time_interleaved(calls, self._timing)
        medians = {name: 1000 * statistics.median(seconds) for name, seconds in times.items()}
        pairs = zip(times["network"], times["reference"], strict=True)
        ratio = statistics.median(one / other for one, other in pairs)
        shared_ms = share(round(medians["reference"], 4))
        return Speed(
            ms=round(shared_ms * ratio, 4),
            ratio=round(ratio, 4),
            measured_ms=round(medians["network"], 4),
            reference_ms=round(medians["reference"], 4),
            rounds=len(times["network"]),
        )

    def _compile(self, description: ModelDescription) -> Callable[[], object]:
        """Return a function that runs a frame through a network in int8."""
        multiple = description.configuration.get("unshuffle", 2)
        height, width = self._size
        if height % multiple or width % multiple:
            message = f"[search] size is {width}x{height}, but candidates take multiples of {multiple} px"
            raise UserError(message, "Choose a size that is, or other values of [search] unshuffle")
        model = build_int8(description, self._planes)
        channels = model.inputs[0].get_partial_shape()[3].get_length()
        model.reshape([1, height, width, channels])
        request = (
            ov.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
        )
        frame = generator("search", "frame").integers(0, 256, (1, height, width, channels), dtype=np.uint8)
        request.set_input_tensor(ov.Tensor(frame))
        return request.infer  # type: ignore[no-any-return]


def build_int8(description: ModelDescription, planes: str) -> ov.Model:
    """Build a realtime network with random weights, quantized as an export is; for frames of any size.

    Args:
        description: of the network.
        planes: luma, for networks of luma alone; or rgb.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(description)
        nn.init.normal_(network.core.layers[-1].weight, std=RESIDUAL_STD)  # type: ignore[union-attr,index]
    is_luma = planes == "luma"
    interface = ImageInterface(LumaInterface(network) if is_luma else network).eval()
    channels, multiple = 1 if is_luma else 3, network.size_multiple
    example = torch.zeros(1, 16 * multiple, 16 * multiple, channels, dtype=torch.uint8)
    with torch.inference_mode():
        model = ov.convert_model(
            interface, example_input=example, input=[ov.PartialShape([-1, -1, -1, channels])]
        )
    model.inputs[0].set_names({"input"})
    places = find_sensitive_operations(model)
    with tempfile.TemporaryDirectory() as scratch:
        # The marks go through a file: OpenVINO's Python API cannot set them on a model.
        path = Path(scratch) / "model.xml"
        ov.save_model(model, path, compress_to_fp16=False)
        ir_file.disable_precision_conversion(path, places.full_precision)
        model = ov.Core().read_model(path)
        batches = make_test_batches(multiple, channels)
        return quantize(model, [image for batch in batches for image in batch], places)[0]
