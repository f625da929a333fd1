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


def make_lpips_loss(weights_dir: Path, value_range: tuple[float, float], device: torch.device) -> Loss:
    """Return LPIPS, the mean over the images of a batch, as a loss.

    Args:
        weights_dir: where Download puts LPIPS_AlexNet.
        value_range: the network's values for levels 0 and 255.
        device: where the images are.

    Raises:
        UserError: a file is missing or contains other tensors.
    """
    lpips = Lpips(weights_dir).to(device)
    darkest, brightest = value_range

    def compare(prediction: Tensor, target: Tensor) -> Tensor:
        # The metric is defined for float32 images in -1..1.
        with torch.autocast(prediction.device.type, enabled=False):
            scaled = (
                (image - darkest) * (2.0 / (brightest - darkest)) - 1.0 for image in (prediction, target)
            )
            return lpips.compare(*map(lpips.extract_features, scaled)).mean()

    return compare


class WeightedLoss(nn.Module):
    """A weighted sum of losses."""

    def __init__(
        self,
        text: str,
        value_range: tuple[float, float],
        device: torch.device,
        lpips_weights: Path | None = None,
    ) -> None:
        """Build the loss that `text` describes (`settings.parse_loss`); see `make_lpips_loss` for the rest.

        Raises:
            UserError: the text is not a loss, or the weights of LPIPS are missing.
        """
        super().__init__()
        terms = parse_loss(text)
        self.names, self._weights = tuple(terms), tuple(terms.values())
        self._losses = [
            LOSSES.get(name) or make_lpips_loss(lpips_weights or Path(), value_range, device)
            for name in terms
        ]

    def forward(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum, a scalar, and each loss without its weight and its gradient, [len(names)]."""
        values = [loss(prediction, target) for loss in self._losses]
        weighted = [weight * value for weight, value in zip(self._weights, values, strict=True)]
        total = sum(weighted[1:], weighted[0])
        return total, torch.stack([value.detach() for value in values])
