"""Eight bits for a network, by NNCF's post-training quantization, with its sensitive places left in float.

Where the quantizers went is checked in the graph afterward, and refused where they should not be. Knows
neither files nor images: it is handed a model and LR images.
"""

import contextlib
import dataclasses
import io
import logging
from collections.abc import Sequence

import numpy as np

from data.errors import UserError
from sr.export.ir_graph import WEIGHTED, IrGraph, SensitivePlaces
from sr.runtime.openvino_runtime import openvino as ov

QUANTIZER = "FakeQuantize"
MOVING = frozenset({"Reshape", "Transpose", "Pad", "DepthToSpace", "SpaceToDepth"})
"""Operations that only move values: a quantizer before them is as good, or as bad, as one behind."""


@dataclasses.dataclass(frozen=True)
class QuantizedPlaces:
    """What was quantized, counted in the graph."""

    quantizers: int
    """Operations that round an image or features to 8 bits."""
    layers: int
    """Weighted layers that compute in 8 bits."""
    float_layers: int
    """Weighted layers left in float."""
    float_operations: int
    """All operations left in float on purpose."""


def quantize(
    model: ov.Model, lr_images: Sequence[np.ndarray], sensitive: SensitivePlaces
) -> tuple[ov.Model, QuantizedPlaces]:
    """Quantize every weighted layer but the sensitive ones.

    Weights are symmetric per channel; activations asymmetric, since images and ReLU outputs have no
    negative half.

    Args:
        model: uint8 NHWC in and out; not changed.
        lr_images: uint8 HWC RGB; each is run once on its own, for the ranges and for the bias correction.
        sensitive: what stays in float (see sr.export.ir_graph).

    Returns:
        The quantized model, and what was quantized in it.

    Raises:
        UserError: no images, or quantizers landed on sensitive places, or a layer that should have one has
        none.
    """
    if not lr_images:
        raise UserError(
            "images to calibrate with", "none", "the selection's training split", "select more crops"
        )
    import nncf

    names = {operation.get_friendly_name() for operation in model.get_ops()}
    logging.getLogger("nncf").setLevel(logging.ERROR)
    # NNCF draws its progress on standard output, where ours is drawn already.
    with contextlib.redirect_stdout(io.StringIO()):
        quantized = nncf.quantize(
            model,
            nncf.Dataset(list(lr_images), lambda lr_image: {"input": lr_image[None]}),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(lr_images),
            ignored_scope=nncf.IgnoredScope(names=sorted(sensitive.unquantized & names)),
        )
    return quantized, check_places(quantized, sensitive)


def check_places(quantized: ov.Model, sensitive: SensitivePlaces) -> QuantizedPlaces:
    """Make sure that quantizers stand before all weighted layers but the sensitive ones, and before nothing
    sensitive.

    Raises:
        UserError: they do not.
    """
    graph = IrGraph(quantized)
    quantizers = graph.of_types({QUANTIZER})
    layers = graph.of_types(WEIGHTED)
    eight_bits = {name for name in layers if _takes_eight_bits(graph, name)}
    wrong = {name for name in sensitive.unquantized & set(graph.operations) if _takes_eight_bits(graph, name)}
    left = layers - eight_bits - sensitive.unquantized
    lost = sensitive.unquantized - set(graph.operations)
    if wrong or left or lost or not eight_bits:
        raise UserError(
            "8 bits in every layer of the trunk and float in every sensitive place",
            f"8 bits before {sorted(wrong)}, float in {sorted(left)}, without {sorted(lost)}",
            "the quantized network",
            "export it as fp16, and report this with the model's preset",
        )
    return QuantizedPlaces(
        len(quantizers), len(eight_bits), len(layers - eight_bits), len(sensitive.unquantized)
    )


def _takes_eight_bits(graph: IrGraph, name: str) -> bool:
    """Whether a quantizer stands before an operation, with nothing between them that computes."""
    for before in graph.inputs(name):
        kind = graph.operations[before].get_type_name()
        if kind == QUANTIZER or (kind in MOVING and _takes_eight_bits(graph, before)):
            return True
    return False
