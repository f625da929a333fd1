"""A luma network with video luma as input and output, instead of RGB.

The weights are those of the RGB network, rescaled exactly; nothing is trained here, and chroma is never seen.
"""

import torch
from torch import Tensor, nn

from data.errors import UserError
from sr.imaging.video_range import BLACK, SPAN
from sr.models.network import SuperResolutionNetwork
from sr.models.realtime import Realtime

_LEVELS = 256
"""Inside, a level is 1/256: the bicubic image then stays exact even if convolutions are computed in bf16."""


class LumaInterface(nn.Module):
    """Upscales planes of video luma: the bicubic upscaling of the plane plus the residual of the luma network.

    Attributes:
        core: a `Realtime` of one color, with the range of video luma folded into its weights.
        scale: upscaling factor.
        size_multiple: input height and width must be multiples of it.
    """

    def __init__(self, network: SuperResolutionNetwork) -> None:
        """Convert `network`, copying its weights on their device.

        Raises:
            UserError: the network does not compute its residual from luma alone.
        """
        super().__init__()
        description, core = network.description, network.core
        if not isinstance(core, Realtime) or core.planes != 1:
            name = description.preset or f"{description.architecture} {dict(description.configuration)}"
            message = f"The luma interface needs a network of luma alone, such as realtime-x2, but this one is {name}"
            raise UserError(message, "Choose a luma preset or its weights, or use the RGB interface")
        self.scale: int = core.scale
        self.size_multiple: int = core.size_multiple
        device = next(core.parameters()).device
        self.core = Realtime(**description.configuration, colors=1).to(device)
        darkest, brightest = network.value_range
        # The network's value of luma is gain·x + offset, where x is the video level in 256ths.
        gain = (brightest - darkest) * _LEVELS / SPAN
        offset = darkest - (brightest - darkest) * BLACK / SPAN
        with torch.no_grad():
            weights = {name: weight.clone() for name, weight in core.state_dict().items()}
            # The first layer sees repeated edges instead of zero padding, so a constant moves into its bias exactly.
            weights["layers.0.bias"] += offset * weights["layers.0.weight"].sum(dim=(1, 2, 3))
            weights["layers.0.weight"] *= gain
            last = len(core.layers) - 1
            for kind in ("weight", "bias"):
                weights[f"layers.{last}.{kind}"] /= gain
            self.core.load_state_dict(weights)
        self.eval().requires_grad_(False)

    def forward(self, lr_image: Tensor) -> Tensor:
        """Upscale video luma (16 black, 235 white): uint8 [n,1,h,w] to uint8 [n,1,scale·h,scale·w], rounded.

        Levels beyond black and white are upscaled like any others, and only clamped to 0 and 255.
        """
        return self._upscale(lr_image.float()).round().clamp(0.0, 255.0).to(torch.uint8)

    def upscale_levels(self, lr_image: Tensor) -> Tensor:
        """Upscale fractional levels: float32 [n,1,h,w], 0 to 255, to the same; clamped, but not rounded."""
        return self._upscale(lr_image).clamp(0.0, 255.0)

    def _upscale(self, levels: Tensor) -> Tensor:
        values: Tensor = self.core(levels / _LEVELS)
        return values * _LEVELS
