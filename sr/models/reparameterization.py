"""Branches beside each 3x3 convolution while a network learns, and how they become that one convolution again.

A sum of linear maps is a linear map, but it learns otherwise than a single one. The branches are summed as
kernels before each pass, so that a layer costs one convolution in training too. It knows only parametrised
`nn.Conv2d` of 3x3; what a network is built of is no concern of this module.
"""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

WIDENING = 2
"""Channels of the widened branch, as a multiple of the layer's inputs."""


class BranchedKernel(nn.Module):
    """A 3x3 kernel as the sum of itself, a widened branch (1x1, then 3x3) and three edge branches.

    The branches begin at nothing: their second kernels and scales are zero, so that a network is the same
    with and without them until it learns. The paper's branches convolve, and are fused afterward; here kernels
    are summed first. Biases between a branch's two layers do not commute with zero padding and are left out, so that
    fusing is exact at the borders too. A branch of the identity brought nothing and is left out (docs/training.md).

    Source: Zhang, Zeng and Zhang, "Edge-oriented Convolution Block for Real-time Super Resolution on Mobile
        Devices", 2021, section 3.
    """

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
        """The layer's own kernel [out,in,3,3] to the sum of all, in float32 under autocast too."""
        with torch.autocast(weight.device.type, enabled=False):
            widened = torch.einsum("omyx,mi->oiyx", self.squeeze, self.widen)
            edged = torch.einsum("eo,eoi,eyx->oiyx", self.edges, self.point, self.masks)
            return weight + widened + edged


def add_branches(module: nn.Module) -> None:
    """Give every 3x3 `nn.Conv2d` within `module` branches; it computes what it did before.

    A layer whose kernel begins at zero gets none: its first steps would be larger, and those of the layer that makes
    the residual are what ReLUs die of.
    """
    for layer in list(module.modules()):
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.weight.any():
            # Its check would compute the kernel on trial; the shapes are known to fit.
            parametrize.register_parametrization(layer, "weight", BranchedKernel(layer.weight), unsafe=True)


def fused(module: nn.Module) -> nn.Module:
    """A copy of `module` without branches, of plain convolutions that compute the same.

    Its kernels are the sums that a branched pass computes, so float32 results are equal bit for bit. A module
    that has no branches is copied as it is.
    """
    plain = copy.deepcopy(module)
    for layer in list(plain.modules()):
        if parametrize.is_parametrized(layer):
            kernel = layer.weight.detach()
            # `remove_parametrizations` would take the branches off the class, which the original shares.
            layer.__class__ = parametrize.type_before_parametrizations(layer)
            del layer.parametrizations
            layer.weight = nn.Parameter(kernel)
    return plain
