"""Measures a network on the validation images: PSNR in RGB, and the loss, over the images of all ranks.

These metrics steer training (best weights, early stopping). Reports use `sr.evaluation.evaluate`, which follows a full
protocol.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from sr.distributed.ranks import Rank
from sr.evaluation.metrics import PSNR_CAP_DB
from sr.models.network import SuperResolutionNetwork
from sr.pairs.batches import Batch
from sr.runtime.filters import PillowUpscaler
from sr.training.losses import Loss


def psnr_db(output: Tensor, target: Tensor) -> Tensor:
    """Return the PSNR of each image, over its three channels together.

    Computed on the device of the images; `sr.evaluation.metrics.psnr` is the reference.

    Args:
        output, target: uint8 [n,3,h,w].

    Returns:
        float64 [n], dB, at most PSNR_CAP_DB.
    """
    error = (output.double() - target.double()).square().mean(dim=(1, 2, 3))
    return (10.0 * torch.log10(255.0**2 / error)).clamp(max=PSNR_CAP_DB)


def validate(
    network: SuperResolutionNetwork, loss: Loss, images: Iterable[Batch], rank: Rank
) -> tuple[float, float]:
    """Return the mean PSNR, in dB, and the mean loss over the validation images of all ranks.

    The loss is computed for each image alone, on outputs that are not rounded, with the network's float32 weights.

    Args:
        network: makes one prediction for both metrics.
        loss: compares a prediction and a target in the network's values.
        images: this rank's share; all ranks must call it together.
        rank: this process.
    """

    def measure(batch: Batch) -> list[Tensor]:
        values, target = network.predict(batch.lr_image), network.normalize(batch.hr_image)
        losses = [loss(values[index : index + 1], target[index : index + 1]) for index in range(len(values))]
        return [psnr_db(network.to_levels(values), batch.hr_image), torch.stack(losses)]

    psnr, mean_loss = _means(measure, images, rank)
    return psnr, mean_loss


def bicubic_psnr_db(scale: int, images: Iterable[Batch], rank: Rank) -> float:
    """Return the mean PSNR of Pillow's bicubic upscaling, which a network has to beat; arguments as for `validate`."""
    upscaler = PillowUpscaler("bicubic", scale)

    def measure(batch: Batch) -> list[Tensor]:
        images = batch.lr_image.permute(0, 2, 3, 1).cpu().numpy()  # [n,h,w,3]
        upscaled = torch.from_numpy(np.stack([upscaler(image) for image in images])).permute(0, 3, 1, 2)
        return [psnr_db(upscaled.to(batch.hr_image.device), batch.hr_image)]

    (mean,) = _means(measure, images, rank)
    return mean


def _means(measure: Callable[[Batch], list[Tensor]], images: Iterable[Batch], rank: Rank) -> list[float]:
    """Return the mean of each metric over the images of all ranks; `measure` gives [n] per metric for a batch."""
    sums, seen = torch.zeros((), dtype=torch.float64, device=rank.device), 0
    with torch.inference_mode():
        for batch in images:
            sums = sums + torch.stack([values.double().sum() for values in measure(batch)])
            seen += len(batch.hr_image)
        # Only here a GPU is waited for.
        *totals, count = rank.sum([*sums.tolist(), float(seen)])
    return [total / count for total in totals]
