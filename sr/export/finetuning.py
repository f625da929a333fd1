"""Fine-tunes the weights of an int8 model, with its rounding in the loop, so that it computes what the network does.

A copy of the network in torch gets the integers, scales, biases and ranges of the int8 model itself: its layers round
their features and weights as OpenVINO will. Gradients pass the rounding unchanged. What is learned goes back into the
constants of the int8 model; its graph, the scales of its weights and its speed stay. Writes no files.

NNCF's own way for torch is not used: it compiles a C++ extension on the user's machine, quantizes another graph than
the one that is exported, and begins with weights that are not rounded together (`sr.export.rounding`).

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    2018, section 3; the learned ranges after Esser et al., "Learned Step Size Quantization", 2020.
"""

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from data.errors import UserError
from data.hashing import generator
from sr.export.quantize import MOVING, QUANTIZER
from sr.export.rounding import Int8Layer, find_int8_layers, replace_constant
from sr.models.luma_interface import LumaInterface
from sr.models.network import SuperResolutionNetwork
from sr.runtime.openvino_runtime import openvino as ov

PATCH_PX, PATCHES = 32, 16
"""Side of a patch, in LR pixels, and patches of a step."""
WEIGHT_RATE = 0.02
"""Learning rate of the weights, in steps of the scale; a cosine makes 0 of it."""
RANGE_RATE = 1e-3
"""The same of the ranges, as a share of the range, and of the biases, as a share of the range of the layer's input."""
REPORT_STEPS = 20
HwcImage = npt.NDArray[np.uint8]
Network = SuperResolutionNetwork | LumaInterface


def fine_tune(
    quantized: ov.Model,
    network: Network,
    lr_images: Sequence[HwcImage],
    steps: int,
    seed: int,
    report: Callable[[int, float], None] = lambda step, noise: None,
) -> ov.Model:
    """Return a copy of an int8 model whose outputs are nearer to those of its network.

    Args:
        quantized: made of `network`; not changed.
        network: in float; not changed. Its outputs are the target, so no originals are needed.
        lr_images: uint8 HWC; random patches of them are trained on.
        steps: how many.
        seed: sets the patches.
        report: called every REPORT_STEPS steps with their number and the root mean square of the difference from the
            network, in levels.

    Raises:
        UserError: no int8 layer is one of the network's own.
    """
    tuned, student = quantized.clone(), _copy(network)
    layers = _replace_layers(student, tuned)
    ranges = list(dict.fromkeys(layer.range for layer in layers))
    optimizer = _make_optimizer(layers, ranges)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    stream, squares = generator("fine-tuning", seed), 0.0
    for step in range(1, steps + 1):
        patches = _draw(stream, lr_images, network.size_multiple)
        with torch.no_grad():
            target = network.upscale_levels(patches)
        loss = (student.upscale_levels(patches) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        squares += loss.item() / REPORT_STEPS
        if step % REPORT_STEPS == 0:
            report(step, math.sqrt(squares))
            squares = 0.0
    _write(layers, ranges)
    return tuned


def _write(layers: "Sequence[_Int8Conv2d]", ranges: "Sequence[_Range]") -> None:
    """Write what was learned into the int8 model."""
    for layer in layers:
        layer.write()
    for one in ranges:
        one.write()


def _make_optimizer(layers: "Sequence[_Int8Conv2d]", ranges: "Sequence[_Range]") -> torch.optim.Optimizer:
    groups = [
        {"params": [layer.offsets for layer in layers], "lr": WEIGHT_RATE},
        {"params": [one.log_gain for one in ranges], "lr": RANGE_RATE},
    ]
    for layer in layers:
        if layer.bias is not None:
            groups.append({"params": [layer.bias], "lr": RANGE_RATE * layer.range.width})
    return torch.optim.Adam(groups)


class _Range(nn.Module):
    """A quantizer of features: 256 steps between two bounds, which a factor moves together."""

    def __init__(self, quantizer: ov.Node) -> None:
        super().__init__()
        self._quantizer = quantizer
        self.low, self.high = (
            torch.from_numpy(quantizer.input_value(place).get_node().data.astype(np.float32))
            for place in (1, 2)
        )
        self.steps = quantizer.get_attributes()["levels"] - 1
        self.width = float(self.high.max() - self.low.min())
        self.log_gain = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Round to the nearest step; the bounds learn from what is cut off and from what is rounded."""
        low, high = self.low * self.log_gain.exp(), self.high * self.log_gain.exp()
        step = (high - low) / self.steps
        rounded: Tensor = _round((features - low) / step, 0.0, self.steps) * step + low
        return rounded

    def write(self) -> None:
        """Write the bounds into the quantizer."""
        gain = math.exp(self.log_gain.item())
        for place in range(1, 5):  # input low and high, output low and high
            constant = self._quantizer.input_value(place).get_node()
            replace_constant(constant, (constant.data * gain).astype(np.float32))


class _Int8Conv2d(nn.Module):
    """A convolution that rounds as one of an int8 model does."""

    def __init__(self, layer: nn.Conv2d, int8: Int8Layer, quantizer: _Range) -> None:
        super().__init__()
        self._stride, self._padding = layer.stride, layer.padding
        self._dilation, self._groups = layer.dilation, layer.groups
        self._int8, self.range = int8, quantizer
        integers = torch.from_numpy(int8.integers.data.astype(np.float32))
        self._integers = integers.reshape(-1, *integers.shape[-3:])  # of groups: [g,out/g,in/g,height,width]
        self._scales = torch.from_numpy(int8.scales.astype(np.float32)).reshape(-1, 1, 1, 1)
        self._limit = float(integers.abs().max())
        self.offsets = nn.Parameter(torch.zeros_like(self._integers))
        self.bias: nn.Parameter | None = None
        if int8.bias is not None:
            self.bias = nn.Parameter(torch.from_numpy(int8.bias.data.astype(np.float32)).reshape(-1))

    def forward(self, features: Tensor) -> Tensor:
        """Convolve rounded features with rounded weights."""
        weights = _round(self._integers + self.offsets, -self._limit, self._limit) * self._scales
        return functional.conv2d(
            self.range(features),
            weights,
            self.bias,
            self._stride,
            self._padding,
            self._dilation,
            self._groups,
        )

    def write(self) -> None:
        """Write weights and bias into the int8 model."""
        int8, limit = self._int8, self._limit
        with torch.no_grad():
            integers = (self._integers + self.offsets).clamp(-limit, limit).round().numpy()
            replace_constant(int8.integers, integers.astype(np.int8).reshape(int8.integers.data.shape))
            if int8.bias is not None and self.bias is not None:
                before = int8.bias.data
                replace_constant(int8.bias, self.bias.numpy().astype(before.dtype).reshape(before.shape))


def _round(values: Tensor, least: float, largest: float) -> Tensor:
    """Clamp and round; the gradient is that of the clamping alone."""
    clamped = values.clamp(least, largest)
    return clamped + (clamped.round() - clamped).detach()


def _copy(network: Network) -> Network:
    """Copy a network; the copy's weights are not learned."""
    if isinstance(network, LumaInterface):
        return copy.deepcopy(network)
    core = copy.deepcopy(network.core)
    return SuperResolutionNetwork(core, network.description).eval().requires_grad_(False)


def _replace_layers(student: Network, tuned: ov.Model) -> list[_Int8Conv2d]:
    """Let the layers of a network in torch round as those of an int8 model do.

    Raises:
        UserError: the network has none of them.
    """
    nodes = {node.get_friendly_name(): node for node in tuned.get_ordered_ops()}
    modules, layers = dict(student.named_modules()), list[_Int8Conv2d]()
    ranges: dict[str, _Range] = {}
    for name, int8 in find_int8_layers(tuned).items():
        path, quantizer = name.partition("/")[0], _find_quantizer(nodes[name])
        layer = modules.get(path)
        if not isinstance(layer, nn.Conv2d) or layer.padding_mode != "zeros" or quantizer is None:
            continue
        key = quantizer.get_friendly_name()  # layers may share it
        ranges[key] = ranges.get(key) or _Range(quantizer)
        layers.append(_Int8Conv2d(layer, int8, ranges[key]))
        parent, _, child = path.rpartition(".")
        setattr(student.get_submodule(parent), child, layers[-1])
    if not layers:
        raise UserError(
            "int8 cannot be fine-tuned: no layer in int8 is a convolution of the network in torch",
            "Leave --export-int8-finetune-steps out",
        )
    return layers


def _find_quantizer(layer: ov.Node) -> ov.Node | None:
    """Return what rounds the features of a layer."""
    node = layer.input_value(0).get_node()
    while node.get_type_name() in MOVING:
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == QUANTIZER else None


def _draw(stream: np.random.Generator, lr_images: Sequence[HwcImage], multiple: int) -> Tensor:
    """Cut a batch of patches at random places, turned and flipped at random: float32 levels [n,c,h,w]."""
    side = min(PATCH_PX, *(min(image.shape[:2]) for image in lr_images)) // multiple * multiple
    patches = []
    for number in stream.integers(len(lr_images), size=PATCHES).tolist():
        top, left = (int(stream.integers(size - side + 1)) for size in lr_images[number].shape[:2])
        patch = np.rot90(lr_images[number][top : top + side, left : left + side], int(stream.integers(4)))
        patches.append(patch[:, ::-1] if stream.integers(2) else patch)
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).contiguous().float()
