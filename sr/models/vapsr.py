"""VapSR, the vast-receptive-field attention network, as published and with 3x3 first projections.

Float in, float out, in the value range that the weights were trained for. The modules are named as in the published
checkpoints, so that these load unchanged.

Source: Zhou et al., "Efficient Image Super-Resolution Using Vast-Receptive-Field Attention", 2022.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from sr.models.network import Architecture


class LargeKernelAttention(nn.Module):
    """Weights each feature by its surroundings: 1x1, depthwise 5x5, depthwise 5x5 dilated by 3."""

    def __init__(self, channels: int) -> None:
        """Attend over `channels` features."""
        super().__init__()
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.depthwise_dilated = nn.Conv2d(channels, channels, 5, padding=6, dilation=3, groups=channels)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape, [n,c,h,w]."""
        attention: Tensor = self.depthwise_dilated(self.depthwise(self.pointwise(features)))
        return features * attention


class AttentionBlock(nn.Module):
    """Project, GELU, attend, project back, add, and normalize the features of each pixel."""

    def __init__(self, features: int, attention: int, projection: int) -> None:
        """Make a block.

        Args:
            features: channels in and out.
            attention: channels between the projections.
            projection: kernel size of the first projection, 1 or 3.
        """
        super().__init__()
        self.proj_1 = nn.Conv2d(features, attention, projection, padding=projection // 2)
        self.activation = nn.GELU()
        self.atten_branch = LargeKernelAttention(attention)
        self.proj_2 = nn.Conv2d(attention, features, 1)
        self.pixel_norm = nn.LayerNorm(features)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape, [n,c,h,w]."""
        inner = self.atten_branch(self.activation(self.proj_1(features)))
        summed = features + self.proj_2(inner)
        # LayerNorm works on the last axis: [n,c,h,w] → [n,h,w,c] and back.
        normalized: Tensor = self.pixel_norm(summed.permute(0, 2, 3, 1))
        return normalized.permute(0, 3, 1, 2)


class VapSR(Architecture):
    """The VapSR network; its `size_multiple` is 1: it takes any size."""

    size_multiple = 1

    def __init__(
        self, scale: int, features: int, blocks: int, attention: int, projection: int = 1, groups: int = 1
    ) -> None:
        """Make a network with random weights.

        Args:
            scale: upscaling factor: 2, 3 or 4.
            features: channels of the trunk.
            blocks: number of attention blocks.
            attention: channels inside each block.
            projection: kernel size of each block's first projection: 1 as published, or 3.
            groups: groups of the convolution that ends the trunk: 1, or 2 for VapSR-S.

        Raises:
            ValueError: `scale` is not one of these.
        """
        super().__init__()
        self.scale = scale
        self.conv_first = nn.Conv2d(3, features, 3, padding=1)
        self.body = nn.Sequential(*(AttentionBlock(features, attention, projection) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1, groups=groups)
        self.upsampler = _upsampler(scale, features)

    def forward(self, lr_image: Tensor) -> Tensor:
        """Upscale float [n,3,h,w] RGB to [n,3,scale·h,scale·w]."""
        shallow = self.conv_first(lr_image.to(self.conv_first.weight.dtype))
        output: Tensor = self.upsampler(shallow + self.conv_body(self.body(shallow)))
        return output


def _upsampler(scale: int, features: int) -> nn.Sequential:
    """Return the published tail: two pixel shuffles of 2 for x4, one pixel shuffle for x2 and x3."""
    if scale == 4:
        return nn.Sequential(
            nn.Conv2d(features, 64, 3, padding=1),
            nn.PixelShuffle(2),
            nn.LeakyReLU(0.1),
            nn.Conv2d(16, 3 * 4, 3, padding=1),
            nn.PixelShuffle(2),
        )
    if scale not in (2, 3):
        raise ValueError(f"The scale of VapSR must be 2, 3 or 4, not {scale}.")
    return nn.Sequential(
        nn.Conv2d(features, 56, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(56, 3 * scale**2, 3, padding=1),
        nn.PixelShuffle(scale),
    )


def infer_configuration(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int] | None:
    """Infer the constructor's arguments from tensor shapes.

    Args:
        shapes: tensor name to shape, as in a published checkpoint.

    Returns:
        Arguments of `VapSR`, or None if it is another network. The caller checks that every tensor fits.
    """
    try:
        attention, features, projection, _ = shapes["body.0.proj_1.weight"]
        scale = 4 if "upsampler.3.weight" in shapes else {12: 2, 27: 3}[shapes["upsampler.2.weight"][0]]
        return {
            "scale": scale,
            "features": features,
            "blocks": sum(name.endswith(".proj_1.weight") for name in shapes),
            "attention": attention,
            "projection": projection,
            "groups": features // shapes["conv_body.weight"][1],
        }
    except (KeyError, IndexError, ValueError, ZeroDivisionError):
        return None
