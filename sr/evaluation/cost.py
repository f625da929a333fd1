"""Count what a network costs to run: its multiply-adds, in the graph that is run, in whatever format.

Counting needs no timing and does not depend on the machine. Only convolutions count: they hold all weights of our
networks, and papers' tables leave out the rest too.
"""

import math
from pathlib import Path

import numpy as np

from sr.runtime.network_upscalers import (
    ForeignOnnxUpscaler,
    OnnxUpscaler,
    OpenVinoUpscaler,
    TorchUpscaler,
)
from sr.runtime.upscaler import Upscaler

PATCH_PX = 64
"""The side of the LR image that is counted on; the count is proportional to the area."""
FRAME = (720, 1280)
"""Height and width of the upscaled image that papers give multiply-adds for."""


def count_gmacs(upscaler: Upscaler) -> float | None:
    """Count the multiply-adds for one upscaled image of 1280x720 px.

    Args:
        upscaler: a network in any format, or an interpolation filter.

    Returns:
        Those of convolutions, in 10⁹, rounded to four decimals; None for a filter. An exported file is counted as it
        is, with the convolutions that the export made of other operations.
    """
    if isinstance(upscaler, TorchUpscaler):
        macs = _count_in_torch(upscaler)
    elif isinstance(upscaler, OnnxUpscaler | ForeignOnnxUpscaler | OpenVinoUpscaler):
        macs = _count_in_file(upscaler.path)
    else:
        return None
    lr_frame_px = FRAME[0] * FRAME[1] / upscaler.scale**2
    return round(macs / PATCH_PX**2 * lr_frame_px / 1e9, 4)


def count_parameters(upscaler: Upscaler) -> int | None:
    """Count the trained parameters; None for a filter, and for an exported file, which does not tell them apart."""
    if isinstance(upscaler, TorchUpscaler):
        return sum(values.numel() for values in upscaler.network.parameters())
    return None


def _count_in_torch(upscaler: TorchUpscaler) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        upscaler.run(np.zeros((1, PATCH_PX, PATCH_PX, 3), np.uint8))
    return counter.get_total_flops() // 2  # it counts a multiplication and an addition as two


def _count_in_file(path: Path) -> int:
    """Count in an exported file; OpenVINO reads ONNX too, and infers the shapes."""
    from sr.runtime.openvino_runtime import openvino

    model = openvino.Core().read_model(path)
    shape = model.input(0).partial_shape
    is_nhwc = shape[3].is_static and shape[3].get_length() in (1, 3)
    size = [1, PATCH_PX, PATCH_PX, shape[3]] if is_nhwc else [1, shape[1], PATCH_PX, PATCH_PX]
    model.reshape({model.input(0): size})
    # Weights are [out, in, y, x], with the groups before them where there are any.
    leading = {"Convolution": 1, "GroupConvolution": 2}
    return sum(
        math.prod(operation.get_output_shape(0))
        * math.prod(list(operation.input(1).get_shape())[leading[operation.get_type_name()] :])
        for operation in model.get_ordered_ops()
        if operation.get_type_name() in leading
    )
