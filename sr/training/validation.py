"""How good a network is on the validation images: PSNR in RGB, and the loss, each image once over all ranks.

The figures steer training (best weights, early stopping). For reports there is `sr.evaluation.evaluate`, which fixes a
whole protocol.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from sr.models.network import UpsamplingNetwork
from sr.runtime.upscalers import PillowUpscaler
from sr.training.engine import sum_over_ranks
from sr.training.loader import Batch
from sr.training.losses import Loss

EXACT_DB = 100.0
"""What an image without any error counts as, instead of infinity."""


def psnr_db(output: Tensor, target: Tensor) -> Tensor:
    """PSNR of each image, over its three channels at once.

    Args:
        output, target: uint8 [n,3,h,w].

    Returns:
        float64 [n], dB, at most EXACT_DB.
    """
    error = (output.double() - target.double()).square().mean(dim=(1, 2, 3))
    return (10.0 * torch.log10(255.0**2 / error)).clamp(max=EXACT_DB)


def mean_psnr_db(upscale: Callable[[Tensor], Tensor], images: Iterable[Batch], device: torch.device) -> float:
    """The mean PSNR over the validation images of all ranks, in dB.

    Args:
        upscale: uint8 [n,3,h,w] → uint8 [n,3,scale·h,scale·w].
        images: this rank's share; all ranks must call together.
        device: where sums are exchanged.
    """
    (mean,) = _means(lambda batch: [psnr_db(upscale(batch.lr_image), batch.hr_image)], 1, images, device)
    return mean


def judge(
    network: UpsamplingNetwork, loss: Loss, images: Iterable[Batch], device: torch.device
) -> tuple[float, float]:
    """The mean PSNR, in dB, and the mean loss over the validation images of all ranks.

    The loss is that of training, of each image alone: the network's weights in float32, outputs not
    rounded.

    Args:
        network: gives a prediction for both figures.
        loss: of a prediction and a target in the network's values.
        images, device: as for `mean_psnr_db`.
    """

    def figures(batch: Batch) -> list[Tensor]:
        values, target = network.predict(batch.lr_image), network.normalize(batch.hr_image)
        losses = [loss(values[index : index + 1], target[index : index + 1]) for index in range(len(values))]
        return [psnr_db(network.to_levels(values), batch.hr_image), torch.stack(losses)]

    psnr, mean_loss = _means(figures, 2, images, device)
    return psnr, mean_loss


def _means(
    figures: Callable[[Batch], list[Tensor]], number: int, images: Iterable[Batch], device: torch.device
) -> list[float]:
    """The means of so many figures, given for every image of a batch, over the images of all ranks."""
    sums, count = [0.0] * number, 0
    with torch.inference_mode():
        for batch in images:
            of_batch = [float(values.double().sum()) for values in figures(batch)]
            sums = [old + new for old, new in zip(sums, of_batch, strict=True)]
            count += len(batch.keys)
    *sums, count = sum_over_ranks([*sums, count], device)
    return [total / count for total in sums]


def bicubic(scale: int) -> Callable[[Tensor], Tensor]:
    """Pillow's bicubic upscaling of batches: what a network has to beat."""
    upscaler = PillowUpscaler("bicubic", scale)

    def upscale(lr_image: Tensor) -> Tensor:
        images = lr_image.permute(0, 2, 3, 1).cpu().numpy()  # [n,h,w,3]
        upscaled = [torch.from_numpy(upscaler(image).copy()) for image in images]
        return torch.stack(upscaled).permute(0, 3, 1, 2).to(lr_image.device)

    return upscale
