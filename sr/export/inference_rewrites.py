"""Rewrite parts of a network before its graph is traced: the same weights and the same result, faster to run.

Each rewrite was chosen by measurement, and a test compares it with the original. The network that is passed in, and its
weights, are never changed.
"""

import copy

import torch
from torch import Tensor, nn

from sr.models.network import SuperResolutionNetwork
from sr.models.vapsr import AttentionBlock


class ChannelLayerNorm(nn.Module):
    """LayerNorm over the channels of each pixel, in channels-first layout: it needs no transposes.

    Two means over the channels and one pass over the features. The variance is the mean of squared deviations, which
    avoids cancellation: in bf16 the result is as close to float32 as that of the original.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        """Copy the weight, bias and epsilon of `norm`, which normalizes the last axis only."""
        super().__init__()
        self.epsilon = norm.eps
        self.weight = nn.Parameter(norm.weight.detach()[:, None, None].clone())  # [c] → [c,1,1]
        self.bias = nn.Parameter(norm.bias.detach()[:, None, None].clone())

    def forward(self, features: Tensor) -> Tensor:
        """[n,c,h,w] to [n,c,h,w]."""
        centered = features - features.mean(1, keepdim=True)
        variance = (centered * centered).mean(1, keepdim=True)  # [n,1,h,w]
        return centered * torch.rsqrt(variance + self.epsilon) * self.weight + self.bias


class ChannelsFirstAttentionBlock(nn.Module):
    """VapSR's AttentionBlock with a ChannelLayerNorm; its modules keep their names."""

    def __init__(self, block: AttentionBlock) -> None:
        """Share the modules of `block`."""
        super().__init__()
        self.proj_1, self.activation = block.proj_1, block.activation
        self.atten_branch, self.proj_2 = block.atten_branch, block.proj_2
        self.pixel_norm = ChannelLayerNorm(block.pixel_norm)

    def forward(self, features: Tensor) -> Tensor:
        """[n,c,h,w] to [n,c,h,w]."""
        inner = self.atten_branch(self.activation(self.proj_1(features)))
        output: Tensor = self.pixel_norm(features + self.proj_2(inner))
        return output


def rewrite_for_inference(network: SuperResolutionNetwork) -> SuperResolutionNetwork:
    """Return a copy of `network` whose blocks are replaced by equivalent ones that run faster once exported.

    Args:
        network: any of ours; not changed.
    """
    rewritten = copy.deepcopy(network)
    for parent in list(rewritten.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, AttentionBlock):
                setattr(parent, name, ChannelsFirstAttentionBlock(child))
    return rewritten.eval()
