"""How good a network is on the validation pictures: PSNR in RGB, and the loss, each picture once over all ranks.

The figures steer training (best weights, early stopping). For reports there is `sr.evaluation.evaluate`, which fixes a
whole protocol.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from sr.models.network import UpsamplingNetwork
from sr.training.engine import sum_over_ranks
from sr.training.loader import Batch
from sr.training.losses import Loss
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
    (mean,) = _means(lambda batch: [psnr_db(upscale(batch.low), batch.high)], 1, pictures, device)
    return mean


def judge(
    network: UpsamplingNetwork, loss: Loss, pictures: Iterable[Batch], device: torch.device
) -> tuple[float, float]:
    """The mean PSNR, in dB, and the mean loss over the validation pictures of all ranks.

    The loss is that of training, of each picture alone: the network's weights in float32, outputs not
    rounded.

    Args:
        network: gives a prediction for both figures.
        loss: of a prediction and a target in the network's values.
        pictures, device: as for `mean_psnr_db`.
    """

    def figures(batch: Batch) -> list[Tensor]:
        values, target = network.predict(batch.low), network.normalise(batch.high)
        losses = [loss(values[index : index + 1], target[index : index + 1]) for index in range(len(values))]
        return [psnr_db(network.to_levels(values), batch.high), torch.stack(losses)]

    psnr, mean_loss = _means(figures, 2, pictures, device)
    return psnr, mean_loss


def _means(
    figures: Callable[[Batch], list[Tensor]], number: int, pictures: Iterable[Batch], device: torch.device
) -> list[float]:
    """The means of so many figures, given for every picture of a batch, over the pictures of all ranks."""
    sums, count = [0.0] * number, 0
    with torch.inference_mode():
        for batch in pictures:
            of_batch = [float(values.double().sum()) for values in figures(batch)]
            sums = [old + new for old, new in zip(sums, of_batch, strict=True)]
            count += len(batch.keys)
    *sums, count = sum_over_ranks([*sums, count], device)
    return [total / count for total in sums]


def bicubic(scale: int) -> Callable[[Tensor], Tensor]:
    """Pillow's bicubic enlargement of batches: what a network has to beat."""
    upscaler = PillowUpscaler("bicubic", scale)

    def upscale(low: Tensor) -> Tensor:
        pictures = low.permute(0, 2, 3, 1).cpu().numpy()  # [n,h,w,3]
        enlarged = [torch.from_numpy(upscaler(picture).copy()) for picture in pictures]
        return torch.stack(enlarged).permute(0, 3, 1, 2).to(low.device)

    return upscale
