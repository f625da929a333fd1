"""What training minimises: an explicit table of losses, each the mean over every value of a batch.

A loss never sees bytes: it compares the network's prediction with the normalised target, in float32, in the
network's value range.
"""

from collections.abc import Callable

import torch.nn.functional as functional
from torch import Tensor

from data.errors import UserError

CHARBONNIER_EPSILON = 1e-3
"""Where the Charbonnier loss turns from square to linear: a quarter of a level in values of 0..1."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(prediction, target), both float32 [n,3,h,w] → scalar."""


def charbonnier(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean of sqrt(d² + ε²): L1 that is smooth at zero.

    Source: Lai et al., "Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution", 2017,
        equation 2.
    """
    return ((prediction - target).square() + CHARBONNIER_EPSILON**2).sqrt().mean()


LOSSES: dict[str, Loss] = {
    "l1": functional.l1_loss,
    "charbonnier": charbonnier,
    "mse": functional.mse_loss,
}


def find_loss(name: str) -> Loss:
    """Return the loss of this name.

    Raises:
        UserError: there is none.
    """
    if name not in LOSSES:
        raise UserError(
            f"a loss ({', '.join(LOSSES)})", repr(name), "the training settings", "choose one of these"
        )
    return LOSSES[name]
