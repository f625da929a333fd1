"""What a network costs to run: its multiplications, counted in the graph that is run, whatever its form.

Counting needs no timing and depends on no machine. It knows convolutions, which is all that our networks have of
weights; what else a network does is not counted, as in the papers' tables.
"""

import math
from pathlib import Path

import numpy as np

from sr.runtime.upscalers import OnnxUpscaler, OpenVinoUpscaler, TorchUpscaler, Upscaler

PATCH_PX = 64
"""Side of the LR image that is counted on; a network's count is proportional to the area."""
FRAME = (720, 1280)
"""Height and width of the upscaled image that papers give multiply-adds for."""


def gmacs(upscaler: Upscaler) -> float | None:
    """Multiply-adds for one upscaled image of 1280x720, in units of 10⁹; None for a formula.

    Args:
        upscaler: a network in any form, or a formula.

    Returns:
        Those of convolutions, rounded to four digits after the point. An exported file
        is counted as it is, with what export made of other operations.
    """
    if isinstance(upscaler, TorchUpscaler):
        macs = _torch_macs(upscaler)
    elif isinstance(upscaler, OnnxUpscaler | OpenVinoUpscaler):
        macs = _graph_macs(upscaler.path)
    else:
        return None
    frame_px = FRAME[0] * FRAME[1] / upscaler.scale**2
    return round(macs / PATCH_PX**2 * frame_px / 1e9, 4)


def parameters(upscaler: Upscaler) -> int | None:
    """The number of trained values; None for a formula, and for an exported file, which does not tell them apart."""
    if isinstance(upscaler, TorchUpscaler):
        return sum(values.numel() for values in upscaler.network.parameters())
    return None


def _torch_macs(upscaler: TorchUpscaler) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        upscaler.run(np.zeros((1, PATCH_PX, PATCH_PX, 3), np.uint8))
    return counter.get_total_flops() // 2  # it counts a multiplication and an addition as two


def _graph_macs(path: Path) -> int:
    """Count in an exported file; OpenVINO reads ONNX too, and works out the shapes."""
    from sr.runtime.openvino_runtime import openvino

    model = openvino.Core().read_model(path)
    channels = model.input("input").partial_shape[3]
    model.reshape({"input": [1, PATCH_PX, PATCH_PX, channels]})
    # Weights are [out, in, y, x], with the groups before them where there are any.
    leading = {"Convolution": 1, "GroupConvolution": 2}
    return sum(
        math.prod(operation.get_output_shape(0))
        * math.prod(list(operation.input(1).get_shape())[leading[operation.get_type_name()] :])
        for operation in model.get_ordered_ops()
        if operation.get_type_name() in leading
    )
