"""Other forms of a network's parts, made before its graph is traced: the same weights and the same image, less work.

A form is chosen by measuring, and a test holds it against the published one. Never
changes a weight, and never the network that it is handed.
"""

import copy

import torch
from torch import Tensor, nn

from sr.models.network import UpsamplingNetwork
from sr.models.vapsr import AttentionBlock


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of each pixel, where they stand: no transposes.

    Two means over the channels and one pass over the features. Mean and variance are taken as written in the
    definition, so that nothing cancels: in bf16 the result is as near to float32's as with the published form.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        """Take the scale, shift and epsilon of `norm`, which works on the last axis alone."""
        super().__init__()
        self.epsilon = norm.eps
        self.weight = nn.Parameter(norm.weight.detach()[:, None, None].clone())  # [c] → [c,1,1]
        self.bias = nn.Parameter(norm.bias.detach()[:, None, None].clone())

    def forward(self, features: Tensor) -> Tensor:
        """[n,c,h,w] to [n,c,h,w]."""
        centered = features - features.mean(1, keepdim=True)
        variance = (centered * centered).mean(1, keepdim=True)  # [n,1,h,w]
        return centered * torch.rsqrt(variance + self.epsilon) * self.weight + self.bias


class ChannelsFirstBlock(nn.Module):
    """VapSR's AttentionBlock with its norm as a ChannelNorm; the parts keep their names."""

    def __init__(self, block: AttentionBlock) -> None:
        """Share the parts of `block`."""
        super().__init__()
        self.proj_1, self.activation = block.proj_1, block.activation
        self.atten_branch, self.proj_2 = block.atten_branch, block.proj_2
        self.pixel_norm = ChannelNorm(block.pixel_norm)

    def forward(self, features: Tensor) -> Tensor:
        """[n,c,h,w] to [n,c,h,w]."""
        inner = self.atten_branch(self.activation(self.proj_1(features)))
        return self.pixel_norm(features + self.proj_2(inner))


def to_export(network: UpsamplingNetwork) -> UpsamplingNetwork:
    """A copy of `network` in the forms that run fastest once exported.

    Args:
        network: any of ours; left as it is.
    """
    formed = copy.deepcopy(network)
    for parent in list(formed.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, AttentionBlock):
                setattr(parent, name, ChannelsFirstBlock(child))
    return formed.eval()
