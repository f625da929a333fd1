"""Quantize a network to int8 with NNCF's post-training quantization, except for its sensitive operations.

Afterward the graph is checked: quantizers must be where they belong, and nowhere else. Works on a model and LR images
in memory, not on files.
"""

import contextlib
import dataclasses
import io
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from sr.export.ir_graph import WEIGHTED, IrGraph, SensitiveOperations
from sr.export.rounding import WeightRounding, find_bias, replace_constant
from sr.runtime.openvino_runtime import openvino as ov

QUANTIZER = "FakeQuantize"
MOVING = frozenset({"Reshape", "Transpose", "Pad", "DepthToSpace", "SpaceToDepth"})
"""Operations that only move values: a quantizer before one has the same effect as one after it."""


@dataclasses.dataclass(frozen=True)
class QuantizationSummary:
    """What was quantized, counted in the graph."""

    quantizers: int
    """Operations that round an image or features to 8 bits."""
    layers: int
    """Weighted layers that compute in 8 bits."""
    float_layers: int
    """Weighted layers that stay in float."""
    float_operations: int
    """All operations that stay in float on purpose."""


def quantize(
    model: ov.Model,
    lr_images: Sequence[npt.NDArray[np.uint8]],
    sensitive: SensitiveOperations,
    rounding: WeightRounding | None = None,
) -> tuple[ov.Model, QuantizationSummary]:
    """Quantize every weighted layer except the sensitive ones.

    Weights are symmetric per channel. Activations are asymmetric, since images and ReLU outputs have no negative half.
    With a rounding, their ranges hold every value.

    Args:
        model: uint8 NHWC in and out; not changed.
        lr_images: uint8 HWC RGB; each is run once, for the ranges and for the bias correction.
        sensitive: what stays in float (see `sr.export.ir_graph`).
        rounding: of the same model and images; None: NNCF's ranges of features, nearest weights and bias correction.

    Returns:
        The quantized model, and what was quantized in it.

    Raises:
        UserError: there are no images, a quantizer is on a sensitive operation, or a layer has none.
    """
    if not lr_images:
        raise UserError("There are no images to calibrate int8 with", "Select or give more images")
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    ranges = {"activations_range_estimator_params": RangeEstimatorParametersSet.MINMAX}
    advanced: dict[str, Any] = {**ranges, "disable_bias_correction": True} if rounding else {}
    names = {operation.get_friendly_name() for operation in model.get_ops()}
    logging.getLogger("nncf").setLevel(logging.ERROR)
    # NNCF prints its progress to standard output, where ours is already.
    with contextlib.redirect_stdout(io.StringIO()):
        quantized = nncf.quantize(
            model,
            nncf.Dataset(list(lr_images), lambda lr_image: {"input": lr_image[None]}),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(lr_images),
            ignored_scope=nncf.IgnoredScope(names=sorted(sensitive.ignored_scope & names)),
            advanced_parameters=nncf.AdvancedQuantizationParameters(**advanced),
        )
    if rounding:
        rounding.apply(quantized)
    return quantized, check_quantizers(quantized, sensitive)


def bypass_quantizers(quantized: ov.Model, model: ov.Model, names: frozenset[str]) -> ov.Model:
    """Return a copy in which some operations take their inputs as they are, with the weights and biases of the network.

    It is nearly what quantizing again with these operations in float gives, and takes no calibration. Where the input
    of an operation moves values for other operations, too, it stays in 8 bits.

    Args:
        quantized: made of `model`.
        model: the network in float.
        names: of operations.
    """
    copy = quantized.clone()
    originals = {node.get_friendly_name(): node for node in model.get_ops()}
    for node in copy.get_ordered_ops():
        if node.get_friendly_name() not in names:
            continue
        original = originals[node.get_friendly_name()]
        for value in node.inputs():
            _bypass(value)
        weights = original.input_value(1).get_node()
        if weights.get_type_name() == "Constant":
            node.input(1).replace_source_output(ov.opset13.constant(weights.data).output(0))
        bias, original_bias = find_bias(node), find_bias(original)
        if bias is not None and original_bias is not None:
            replace_constant(bias, original_bias.data)
    return copy


def _bypass(value: "ov.Input") -> None:
    producer = value.get_source_output().get_node()
    if producer.get_type_name() == QUANTIZER:
        value.replace_source_output(producer.input_value(0))
    elif producer.get_type_name() in MOVING and len(producer.output(0).get_target_inputs()) == 1:
        _bypass(producer.input(0))


def check_quantizers(quantized: ov.Model, sensitive: SensitiveOperations) -> QuantizationSummary:
    """Check that quantizers stand before all weighted layers except the sensitive ones, and before nothing sensitive.

    Raises:
        UserError: they do not.
    """
    graph = IrGraph(quantized)
    quantizers = graph.find_types({QUANTIZER})
    layers = graph.find_types(WEIGHTED)
    int8_layers = {name for name in layers if _is_quantized(graph, name)}
    wrong = {name for name in sensitive.ignored_scope & set(graph.operations) if _is_quantized(graph, name)}
    in_float = layers - int8_layers - sensitive.ignored_scope
    lost = sensitive.ignored_scope - set(graph.operations)
    if wrong or in_float or lost or not int8_layers:
        raise UserError(
            f"NNCF did not quantize the network as requested: int8 in sensitive operations {sorted(wrong)}, "
            f"float in layers {sorted(in_float)}, missing operations {sorted(lost)}",
            "Export it as fp16, and report this with the model's preset",
        )
    return QuantizationSummary(
        len(quantizers), len(int8_layers), len(layers - int8_layers), len(sensitive.ignored_scope)
    )


def _is_quantized(graph: IrGraph, name: str) -> bool:
    """Return whether a quantizer stands before an operation, with no computation in between."""
    for before in graph.inputs(name):
        kind = graph.operations[before].get_type_name()
        if kind == QUANTIZER or (kind in MOVING and _is_quantized(graph, before)):
            return True
    return False
