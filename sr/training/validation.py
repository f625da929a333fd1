"""How good a network is on the validation pictures: PSNR in RGB, each picture once over all ranks.

The figure steers training (best weights, early stopping). For reports there is `sr.evaluation.evaluate`, which fixes a
whole protocol.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from sr.training.engine import sum_over_ranks
from sr.training.loader import Batch
from sr.upscalers import PillowUpscaler

EXACT_DB = 100.0
"""What a picture without any error counts as, instead of infinity."""


def psnr_db(output: Tensor, target: Tensor) -> Tensor:
    """PSNR of each picture, over its three channels at once.

    Args:
        output, target: uint8 [n,3,h,w].

    Returns:
        float64 [n], dB, at most EXACT_DB.
    """
    error = (output.double() - target.double()).square().mean(dim=(1, 2, 3))
    return (10.0 * torch.log10(255.0**2 / error)).clamp(max=EXACT_DB)


def mean_psnr_db(
    upscale: Callable[[Tensor], Tensor], pictures: Iterable[Batch], device: torch.device
) -> float:
    """The mean PSNR over the validation pictures of all ranks, in dB.

    Args:
        upscale: uint8 [n,3,h,w] → uint8 [n,3,scale·h,scale·w].
        pictures: this rank's share; all ranks must call together.
        device: where sums are exchanged.
    """
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in pictures:
            total += float(psnr_db(upscale(batch.low), batch.high).sum())
            count += len(batch.keys)
    total, count = sum_over_ranks([total, count], device)
    return total / count


def bicubic(scale: int) -> Callable[[Tensor], Tensor]:
    """Pillow's bicubic enlargement of batches: what a network has to beat."""
    upscaler = PillowUpscaler("bicubic", scale)

    def upscale(low: Tensor) -> Tensor:
        pictures = low.permute(0, 2, 3, 1).cpu().numpy()  # [n,h,w,3]
        enlarged = [torch.from_numpy(upscaler(picture).copy()) for picture in pictures]
        return torch.stack(enlarged).permute(0, 3, 1, 2).to(low.device)

    return upscale
