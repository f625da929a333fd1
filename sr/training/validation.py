"""Measures a network on the validation images: PSNR in RGB, and the loss, over the images of all ranks.

These metrics steer training (best weights, early stopping). Reports use `sr.evaluation.evaluate`, which follows a full
protocol.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from sr.distributed.ranks import Rank
from sr.evaluation.metrics import PSNR_CAP_DB
from sr.models.network import SuperResolutionNetwork
from sr.runtime.filters import PillowUpscaler
from sr.training.batches import Batch
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


def mean_psnr_db(upscale: Callable[[Tensor], Tensor], images: Iterable[Batch], rank: Rank) -> float:
    """Return the mean PSNR over the validation images of all ranks, in dB.

    Args:
        upscale: uint8 [n,3,h,w] → uint8 [n,3,scale·h,scale·w].
        images: this rank's share; all ranks must call it together.
        rank: this process.
    """
    (mean,) = _means(lambda batch: [psnr_db(upscale(batch.lr_image), batch.hr_image)], 1, images, rank)
    return mean


def validate(
    network: SuperResolutionNetwork, loss: Loss, images: Iterable[Batch], rank: Rank
) -> tuple[float, float]:
    """Return the mean PSNR, in dB, and the mean loss over the validation images of all ranks.

    The loss is computed for each image alone, on outputs that are not rounded, with the network's float32 weights.

    Args:
        network: makes one prediction for both metrics.
        loss: compares a prediction and a target in the network's values.
        images, rank: as for `mean_psnr_db`.
    """

    def measure(batch: Batch) -> list[Tensor]:
        values, target = network.predict(batch.lr_image), network.normalize(batch.hr_image)
        losses = [loss(values[index : index + 1], target[index : index + 1]) for index in range(len(values))]
        return [psnr_db(network.to_levels(values), batch.hr_image), torch.stack(losses)]

    psnr, mean_loss = _means(measure, 2, images, rank)
    return psnr, mean_loss


def _means(
    measure: Callable[[Batch], list[Tensor]], num_metrics: int, images: Iterable[Batch], rank: Rank
) -> list[float]:
    """Return the mean of each metric over the images of all ranks; `measure` gives [n] per metric for a batch."""
    sums = torch.zeros(num_metrics, dtype=torch.float64, device=rank.device)
    images_seen = 0
    with torch.inference_mode():
        for batch in images:
            sums += torch.stack([values.double().sum() for values in measure(batch)])
            images_seen += len(batch.hr_image)
        # Only here a GPU is waited for.
        *totals, count = rank.sum([*sums.tolist(), float(images_seen)])
    return [total / count for total in totals]


def make_bicubic_upscaler(scale: int) -> Callable[[Tensor], Tensor]:
    """Return Pillow's bicubic upscaling of batches: the baseline that a network has to beat."""
    upscaler = PillowUpscaler("bicubic", scale)

    def upscale(lr_image: Tensor) -> Tensor:
        images = lr_image.permute(0, 2, 3, 1).cpu().numpy()  # [n,h,w,3]
        upscaled = [torch.from_numpy(upscaler(image).copy()) for image in images]
        return torch.stack(upscaled).permute(0, 3, 1, 2).to(lr_image.device)

    return upscale
