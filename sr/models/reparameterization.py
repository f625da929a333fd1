"""Reparameterizes 3x3 convolutions for training as sums of branches, and fuses them into plain convolutions again.

A sum of linear maps is a linear map, but it trains differently from a single one. The kernels of the branches are
summed before each pass, so that a layer costs one convolution in training, too. It works on the 3x3 `nn.Conv2d` layers
of any module.
"""

import copy
import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

WIDENING = 2
"""Channels of the widened branch, as a multiple of the layer's inputs."""

_Module = TypeVar("_Module", bound=nn.Module)


class ReparameterizedKernel(nn.Module):
    """A 3x3 kernel as the sum of itself, a widened branch (1x1, then 3x3) and three edge branches.

    The branches start at zero: their second kernels and scales are zero, so they do not change an untrained network.
    The paper's branches convolve and are fused afterward; here kernels are summed first. Biases between the two layers
    of a branch do not commute with zero padding and are left out, so that fusing is exact at the borders, too. An
    identity branch brought no gain and is left out (docs/results.md).

    Source: Zhang, Zeng and Zhang, "Edge-oriented Convolution Block for Real-time Super Resolution on Mobile
        Devices", 2021, section 3.
    """

    masks: Tensor

    def __init__(self, weight: Tensor) -> None:
        """Make branches for a kernel [out,in,3,3], with random values from torch's global generator."""
        super().__init__()
        outputs, inputs = weight.shape[:2]
        middle = int(WIDENING * inputs)
        bound = 1 / math.sqrt(inputs)
        self.widen = nn.Parameter(torch.empty(middle, inputs).uniform_(-bound, bound))
        self.squeeze = nn.Parameter(torch.zeros(outputs, middle, 3, 3))
        self.point = nn.Parameter(torch.empty(3, outputs, inputs).uniform_(-bound, bound))
        self.edges = nn.Parameter(torch.zeros(3, outputs))
        sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        laplacian = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
        self.register_buffer("masks", torch.stack([sobel, sobel.T, laplacian]), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """Add the branches to the layer's own kernel [out,in,3,3], in float32 even under autocast."""
        with torch.autocast(weight.device.type, enabled=False):
            widened = torch.einsum("omyx,mi->oiyx", self.squeeze, self.widen)
            edged = torch.einsum("eo,eoi,eyx->oiyx", self.edges, self.point, self.masks)
            return weight + widened + edged


def add_reparameterization(module: nn.Module) -> None:
    """Add branches to every 3x3 `nn.Conv2d` within `module`, without changing what it computes.

    A layer whose kernel starts at zero gets none: its first steps would be larger, and large first steps of the layer
    that makes the residual kill ReLUs.
    """
    for layer in list(module.modules()):
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.weight.any():
            # The check would compute the kernel once; the shapes are known to fit.
            kernel = ReparameterizedKernel(layer.weight)
            parametrize.register_parametrization(layer, "weight", kernel, unsafe=True)


def fuse_reparameterization(module: _Module) -> _Module:
    """Return a copy of `module` without branches: plain convolutions that compute the same.

    Its kernels are the sums that a pass with branches computes, so float32 results are equal bit for bit. A module
    without branches is copied unchanged.
    """
    plain = copy.deepcopy(module)
    for layer in list(plain.modules()):
        if isinstance(layer, nn.Conv2d) and parametrize.is_parametrized(layer):
            kernel = layer.weight.detach()
            # `remove_parametrizations` would take the branches off the class, which the original shares.
            layer.__class__ = parametrize.type_before_parametrizations(layer)
            del layer.parametrizations
            layer.weight = nn.Parameter(kernel)
    return plain
