"""The second face of a luma network, for videos: luma as video stores it in, luma as video stores it out.

The weights are those of the RGB network, rescaled exactly; nothing is learned here, and chroma is never seen.
"""

import torch
from torch import Tensor, nn

from data.errors import UserError
from sr.imaging.video_range import BLACK, SPAN
from sr.models.network import UpsamplingNetwork
from sr.models.realtime import Realtime

_LEVELS = 256
"""Inside, a level is 1/256: the image that is upscaled then stays exact where convolutions are computed in bf16."""


class LumaForm(nn.Module):
    """Upscales planes of video luma: the bicubic of the plane plus the residual of the luma network.

    Attributes:
        core: a `Realtime` of one color, in whose weights the range of video luma is folded.
        scale: upsampling factor.
        size_multiple: input height and width must be multiples of it.
    """

    def __init__(self, network: UpsamplingNetwork) -> None:
        """Make the second face of `network`; its weights are copied, on their device.

        Raises:
            UserError: the network's residual is not of luma alone.
        """
        super().__init__()
        description, core = network.description, network.core
        if not isinstance(core, Realtime) or core.planes != 1:
            raise UserError(
                "a network of luma alone (realtime-x2 and its like)",
                description.preset or f"{description.architecture} {dict(description.configuration)}",
                "the luma form",
                "train or name a luma preset, or use the RGB form",
            )
        self.scale: int = core.scale
        self.size_multiple: int = core.size_multiple
        self.core = Realtime(**description.configuration, colors=1).to(core.layers[0].weight.device)
        darkest, brightest = network.value_range
        # The network's value of luma is gain·x + offset, where x is the video level in 256ths.
        gain = (brightest - darkest) * _LEVELS / SPAN
        offset = darkest - (brightest - darkest) * BLACK / SPAN
        with torch.no_grad():
            weights = {name: weight.clone() for name, weight in core.state_dict().items()}
            # The first layer sees no padding but repeated edges, so that a constant goes into its bias exactly.
            weights["layers.0.bias"] += offset * weights["layers.0.weight"].sum(dim=(1, 2, 3))
            weights["layers.0.weight"] *= gain
            last = len(core.layers) - 1
            for kind in ("weight", "bias"):
                weights[f"layers.{last}.{kind}"] /= gain
            self.core.load_state_dict(weights)
        self.eval().requires_grad_(False)

    def forward(self, lr_image: Tensor) -> Tensor:
        """uint8 [n,1,h,w] to uint8 [n,1,scale·h,scale·w]: video luma, 16 black and 235 white, rounded.

        Levels beyond black and white are upscaled like any others, and cut off only at 0 and 255.
        """
        values = self.core(lr_image.float() / _LEVELS)
        return (values * _LEVELS).round().clamp(0.0, 255.0).to(torch.uint8)
