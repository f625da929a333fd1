"""Rounds the weights of an int8 model anew, so that their errors compensate each other on real features.

Post-training quantization rounds each weight to its nearest step. Neighboring pixels are alike, so these errors add up:
in the realtime networks they make most of the noise of int8. Here each weight of a kernel is rounded in turn, and those
that are not rounded yet, and the bias, take over its error as far as the features of the calibration images let them.
The scales, the ranges of the features and the speed stay.

Source: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2023,
    section 3; here for convolutions, with the bias as the last weight.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import Tensor

from sr.runtime.openvino_runtime import openvino as ov

DAMPING = 1e-3
"""Added to the diagonal of the features' second moments, as a share of its mean."""
MAX_SAMPLES = 100_000
"""Positions of the features, over all images, that the moments of a layer are taken from."""
HwcImage = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Int8Layer:
    """A convolution whose weights are integers times a scale for each output."""

    integers: ov.Node
    """Constant, int8 [out,in,height,width]; of groups [groups,out/groups,in/groups,height,width]."""
    scales: npt.NDArray[np.float32]
    """One for each output."""
    bias: ov.Node | None
    """Constant, float32, with [out] values."""


class WeightRounding:
    """Rounds the weights of int8 models of one network; what it measures serves all of them."""

    def __init__(self, model: ov.Model, lr_images: Sequence[HwcImage]) -> None:
        """Take a network in float, and uint8 HWC images whose features in it weigh the errors."""
        self._model, self._lr_images = model, lr_images
        self._originals = {node.get_friendly_name(): node for node in model.get_ops()}
        self._moments: dict[str, Tensor] = {}

    def apply(self, quantized: ov.Model) -> int:
        """Round the weights of a quantized model of the network anew, in place.

        Returns:
            The number of layers that were rounded anew. Grouped convolutions stay as they are.
        """
        layers = find_int8_layers(quantized, ("Convolution",))
        if new := [name for name in layers if name not in self._moments]:
            self._moments |= _measure_moments(self._model, new, self._lr_images)
        for name, layer in layers.items():
            kernels = self._originals[name].input_value(1).get_node().data.astype(np.float64)
            _round_layer(layer, torch.from_numpy(kernels.reshape(len(kernels), -1)), self._moments[name])
        return len(layers)


def round_together(weights: Tensor, moments: Tensor, scales: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
    """Round kernels to multiples of their scales.

    Args:
        weights: float64 [out,n].
        moments: float64 [n+1,n+1], second moments of the inputs, of which the last is 1 and has the bias as weight.
        scales: float64 [out].
        limits: the largest multiples, [out].

    Returns:
        The multiples, float64 [out,n], and what to add to the bias, float64 [out].
    """
    inputs = weights.shape[1]
    # The weights of the strongest inputs first, while there are many others to take over their errors; the bias last.
    order = torch.argsort(moments.diagonal()[:inputs], descending=True, stable=True)
    order = torch.cat([order, torch.tensor([inputs])])
    rest = torch.cat([weights, torch.zeros_like(weights[:, :1])], dim=1)[:, order]
    damped = moments + DAMPING * moments.diagonal()[:inputs].mean() * torch.eye(
        inputs + 1, dtype=torch.float64
    )
    shares = torch.linalg.cholesky(torch.linalg.inv(damped[order][:, order]), upper=True)
    multiples, divisors = torch.zeros_like(weights), torch.where(scales == 0, 1.0, scales)  # kernels may be 0
    for place, column in enumerate(order[:-1].tolist()):
        steps = (rest[:, place] / divisors).round().clamp(-limits, limits)
        multiples[:, column] = steps
        error = (rest[:, place] - steps * scales) / shares[place, place]
        rest[:, place + 1 :] -= error[:, None] * shares[place, place + 1 :]
    return multiples, rest[:, -1]


def find_int8_layers(
    quantized: ov.Model, types: Sequence[str] = ("Convolution", "GroupConvolution")
) -> dict[str, Int8Layer]:
    """Return the convolutions with int8 weights, by name."""
    found = {}
    for node in quantized.get_ordered_ops():
        product = node.input_value(1).get_node() if node.get_type_name() in types else None
        if product is None or product.get_type_name() != "Multiply":
            continue
        converted, scales = (product.input_value(side).get_node() for side in (0, 1))
        integers = (
            converted.input_value(0).get_node() if converted.get_type_name() == "Convert" else converted
        )
        if integers.get_element_type() == ov.Type.i8 and scales.get_type_name() == "Constant":
            found[node.get_friendly_name()] = Int8Layer(integers, scales.data, find_bias(node))
    return found


def find_bias(convolution: ov.Node) -> ov.Node | None:
    """Return the constant that is added to the result of a convolution, if there is one."""
    targets = list(convolution.output(0).get_target_inputs())
    if len(targets) != 1 or targets[0].get_node().get_type_name() != "Add":
        return None
    addition = targets[0].get_node()
    other = addition.input_value(1 - targets[0].get_index()).get_node()
    return other if other.get_type_name() == "Constant" else None


def _measure_moments(
    model: ov.Model, names: Sequence[str], lr_images: Sequence[HwcImage]
) -> dict[str, Tensor]:
    """Return the second moments of what each convolution multiplies its weights with, and of a 1 beside it."""
    probe = model.clone()
    nodes = {node.get_friendly_name(): node for node in probe.get_ops()}
    sources = {name: nodes[name].input_value(0) for name in names}
    # Layers may share an input.
    places = {source: place for place, source in enumerate(dict.fromkeys(sources.values()))}
    probe.add_outputs(list(places))
    compiled = ov.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    per_image, stream = max(1, MAX_SAMPLES // len(lr_images)), np.random.default_rng(0)
    moments: dict[str, Tensor] = {}
    for lr_image in lr_images:
        features = list(compiled(lr_image[None]).values())[-len(places) :]
        for name in names:
            rows = _unfold(torch.from_numpy(features[places[sources[name]]]), nodes[name])
            rows = rows[torch.from_numpy(stream.permutation(len(rows))[:per_image])]
            rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
            moments[name] = (rows.T @ rows).double() + moments.get(name, 0.0)
    return moments


def _unfold(features: Tensor, convolution: ov.Node) -> Tensor:
    """Return what each position of a convolution sees: [n,c,h,w] to [positions, c·height·width]."""
    attributes, kernel = convolution.get_attributes(), convolution.input_value(1).get_shape()[2:]
    top, left = attributes["pads_begin"]
    bottom, right = attributes["pads_end"]
    padded = functional.pad(features, (left, right, top, bottom))
    columns = functional.unfold(
        padded, tuple(kernel), tuple(attributes["dilations"]), stride=tuple(attributes["strides"])
    )  # [n, c·height·width, positions]
    return columns.permute(0, 2, 1).reshape(-1, columns.shape[1])


def _round_layer(layer: Int8Layer, weights: Tensor, moments: Tensor) -> None:
    """Replace the constants of a layer."""
    scales = torch.from_numpy(layer.scales.astype(np.float64)).reshape(-1)
    before = layer.integers.data
    limits = torch.from_numpy(np.abs(before.reshape(len(before), -1).astype(np.float64)).max(axis=1))
    multiples, to_bias = round_together(weights, moments, scales, limits)
    replace_constant(layer.integers, multiples.numpy().astype(np.int8).reshape(before.shape))
    if layer.bias is not None:
        bias = layer.bias.data
        replace_constant(layer.bias, bias + to_bias.numpy().astype(bias.dtype).reshape(bias.shape))


def replace_constant(constant: ov.Node, values: npt.NDArray[np.generic]) -> None:
    """Give all that take a constant other values, under its name."""
    new = ov.opset13.constant(values, dtype=values.dtype.type)
    new.set_friendly_name(constant.get_friendly_name())
    for target in constant.output(0).get_target_inputs():
        target.replace_source_output(new.output(0))
