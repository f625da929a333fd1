"""The losses that training can minimize, and their weighted sum.

A loss compares the network's prediction with the normalized target, in float32 and in the network's value range. Each
is a mean over all values of a batch, so its size does not depend on the batch size.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from sr.evaluation.lpips import Lpips
from sr.training.settings import parse_loss

CHARBONNIER_EPSILON = 1e-3
"""Where the Charbonnier loss turns from square to linear: a quarter of a level for values in 0..1."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(prediction, target), both float32 [n,3,h,w] → scalar."""


def charbonnier(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean of sqrt(d² + ε²): an L1 loss that is smooth at zero.

    Source: Lai et al., "Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution", 2017,
        equation 2.
    """
    return ((prediction - target).square() + CHARBONNIER_EPSILON**2).sqrt().mean()


def frequency(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the L1 loss between the two-dimensional Fourier transforms, over their real and imaginary parts.

    The transform is scaled to preserve energy ("ortho"), so the loss is of the size of L1 and does not grow with the
    patch. Multiply a published weight for the unscaled transform by sqrt(h·w).

    Source: Cho et al., "Rethinking Coarse-to-Fine Approach in Single Image Deblurring", 2021, equation 6.
    """
    difference = torch.fft.rfft2(prediction - target, norm="ortho")  # [n,3,h,w/2+1], complex
    return torch.view_as_real(difference).abs().mean()


LOSSES: dict[str, Loss] = {
    "l1": functional.l1_loss,
    "charbonnier": charbonnier,
    "mse": functional.mse_loss,
    "frequency": frequency,
}
"""The losses that need only the images; lpips also needs its weights."""


class LpipsLoss:
    """LPIPS between prediction and target: the mean over the images of a batch."""

    def __init__(self, weights_dir: Path, value_range: tuple[float, float], device: torch.device) -> None:
        """Read the weights.

        Args:
            weights_dir: where Download puts LPIPS_AlexNet.
            value_range: the network's values for levels 0 and 255.
            device: where the images are.

        Raises:
            UserError: a file is missing or contains other tensors.
        """
        self._lpips = Lpips(weights_dir).to(device)
        darkest, brightest = value_range
        self._factor, self._darkest = 2.0 / (brightest - darkest), darkest

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare two batches, float32 [n,3,h,w] in the network's values; return a scalar."""
        # The metric is defined for float32 images in -1..1.
        with torch.autocast(prediction.device.type, enabled=False):
            seen = (
                self._lpips.extract_features((image - self._darkest) * self._factor - 1.0)
                for image in (prediction, target)
            )
            return self._lpips.compare(*seen).mean()


class WeightedLoss(nn.Module):
    """A weighted sum of losses."""

    def __init__(
        self,
        text: str,
        value_range: tuple[float, float],
        device: torch.device,
        lpips_weights: Path | None = None,
    ) -> None:
        """Build the loss that `text` describes; see `settings.parse_loss`.

        Args:
            text: names and weights, such as "l1:1+lpips:0.1".
            value_range: the network's values for levels 0 and 255.
            device: where the images are.
            lpips_weights: the directory with the weights of LPIPS; only needed for lpips.

        Raises:
            UserError: the text is not a loss, or the weights of LPIPS are missing.
        """
        super().__init__()
        terms = parse_loss(text)
        self.names, self._weights = tuple(terms), tuple(terms.values())
        known = LOSSES
        if "lpips" in terms:
            known = LOSSES | {"lpips": LpipsLoss(lpips_weights or Path(), value_range, device)}
        self._losses = [known[name] for name in terms]

    def forward(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum, a scalar, and each loss without its weight and its gradient, [len(names)]."""
        values = [loss(prediction, target) for loss in self._losses]
        weighted = [weight * value for weight, value in zip(self._weights, values, strict=True)]
        total = sum(weighted[1:], weighted[0])
        return total, torch.stack([value.detach() for value in values])
