"""Eight bits for a network, by NNCF's post-training quantisation, with its sensitive places left in float.

Where the quantisers went is checked in the graph afterwards, and refused where they should not be. Knows
neither files nor pictures: it is handed a model and low pictures.
"""

import contextlib
import dataclasses
import io
import logging
from collections.abc import Sequence

import numpy as np

from data.errors import UserError
from sr.export.ir_graph import WEIGHTED, IrGraph, SensitivePlaces
from sr.openvino_runtime import openvino as ov

QUANTISER = "FakeQuantize"
MOVING = frozenset({"Reshape", "Transpose", "Pad", "DepthToSpace", "SpaceToDepth"})
"""Operations that only move values: a quantiser before them is as good, or as bad, as one behind."""


@dataclasses.dataclass(frozen=True)
class QuantisedPlaces:
    """What was quantised, counted in the graph."""

    quantisers: int
    """Operations that round a picture or features to 8 bits."""
    layers: int
    """Weighted layers that compute in 8 bits."""
    float_layers: int
    """Weighted layers left in float."""
    float_operations: int
    """All operations left in float on purpose."""


def quantise(
    model: ov.Model, low_pictures: Sequence[np.ndarray], sensitive: SensitivePlaces
) -> tuple[ov.Model, QuantisedPlaces]:
    """Quantise every weighted layer but the sensitive ones.

    Weights are symmetric per channel; activations asymmetric, since pictures and ReLU outputs have no
    negative half.

    Args:
        model: uint8 NHWC in and out; not changed.
        low_pictures: uint8 HWC RGB; each is run once on its own, for the ranges and for the bias correction.
        sensitive: what stays in float (see sr.export.ir_graph).

    Returns:
        The quantised model, and what was quantised in it.

    Raises:
        UserError: no pictures, or quantisers landed on sensitive places, or a layer that should have one has
        none.
    """
    if not low_pictures:
        raise UserError(
            "pictures to calibrate with", "none", "the selection's training split", "select more crops"
        )
    import nncf

    names = {operation.get_friendly_name() for operation in model.get_ops()}
    logging.getLogger("nncf").setLevel(logging.ERROR)
    # NNCF draws its progress on standard output, where ours is drawn already.
    with contextlib.redirect_stdout(io.StringIO()):
        quantised = nncf.quantize(
            model,
            nncf.Dataset(list(low_pictures), lambda low: {"low": low[None]}),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(low_pictures),
            ignored_scope=nncf.IgnoredScope(names=sorted(sensitive.unquantised & names)),
        )
    return quantised, check_places(quantised, sensitive)


def check_places(quantised: ov.Model, sensitive: SensitivePlaces) -> QuantisedPlaces:
    """Make sure that quantisers stand before all weighted layers but the sensitive ones, and before nothing
    sensitive.

    Raises:
        UserError: they do not.
    """
    graph = IrGraph(quantised)
    quantisers = graph.of_types({QUANTISER})
    layers = graph.of_types(WEIGHTED)
    eight_bits = {name for name in layers if _takes_eight_bits(graph, name)}
    wrong = {name for name in sensitive.unquantised & set(graph.operations) if _takes_eight_bits(graph, name)}
    left = layers - eight_bits - sensitive.unquantised
    lost = sensitive.unquantised - set(graph.operations)
    if wrong or left or lost or not eight_bits:
        raise UserError(
            expected="8 bits in every layer of the trunk and float in every sensitive place",
            got=f"8 bits before {sorted(wrong)}, float in {sorted(left)}, without {sorted(lost)}",
            where="the quantised network",
            remedy="export it as fp16, and report this with the model's preset",
        )
    return QuantisedPlaces(
        len(quantisers), len(eight_bits), len(layers - eight_bits), len(sensitive.unquantised)
    )


def _takes_eight_bits(graph: IrGraph, name: str) -> bool:
    """Whether a quantiser stands before an operation, with nothing between them that computes."""
    for before in graph.inputs(name):
        kind = graph.operations[before].get_type_name()
        if kind == QUANTISER or (kind in MOVING and _takes_eight_bits(graph, before)):
            return True
    return False
