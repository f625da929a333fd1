"""A network and its loss as one module, compiled for the patches of a job, and fitted into the memory of a device."""

import torch
from torch import Tensor, nn

from data.errors import UserError
from sr.distributed.ranks import Rank
from sr.models.network import SuperResolutionNetwork
from sr.pairs.settings import patch_sizes_px
from sr.training.job import TrainingJob
from sr.training.losses import WeightedLoss

AUTOCAST = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precision → the type that convolutions are computed in; weights and optimizer states are always float32."""
GRAPH_MAX_WEIGHTS = 1_000_000
"""Networks of up to so many weights are compiled to CUDA graphs: their kernels take longer to start than to run."""


class NetworkWithLoss(nn.Module):
    """A network and its loss as one module: one graph for autocast, DeepSpeed and the compiler."""

    def __init__(self, network: SuperResolutionNetwork, loss: WeightedLoss) -> None:
        super().__init__()
        self.network, self.loss = network, loss
        self.compute = self.compare
        """`compare`, or its compiled form."""

    def forward(self, lr_image: Tensor, hr_image: Tensor) -> tuple[Tensor, Tensor]:
        """Call `compare`, compiled if it has been."""
        return self.compute(lr_image, hr_image)

    def compare(self, lr_image: Tensor, hr_image: Tensor) -> tuple[Tensor, Tensor]:
        """Compare prediction and target.

        Args:
            lr_image: uint8 [n,3,h,w].
            hr_image: uint8 [n,3,scale·h,scale·w].

        Returns:
            The float32 loss, a scalar; and its terms, [number of terms], without a gradient.
        """
        total, terms = self.loss(self.network.predict(lr_image), self.network.normalize(hr_image))
        return total, terms

    def try_out(self, job: TrainingJob, device: torch.device, side_px: int, pairs: int) -> None:
        """Run a forward and a backward pass on black patches of a side, without effect."""
        lr_image, hr_image = (
            torch.zeros(pairs, 3, side, side, dtype=torch.uint8, device=device).contiguous(
                memory_format=torch.channels_last
            )
            for side in (side_px // self.network.scale, side_px)
        )
        kind = AUTOCAST[job.precision]
        try:
            with torch.autocast(device.type, kind or torch.bfloat16, enabled=kind is not None):
                self(lr_image, hr_image)[0].backward()
        finally:
            self.zero_grad(set_to_none=True)


def fit_micro_batch(module: NetworkWithLoss, job: TrainingJob, rank: Rank, wanted: int) -> int:
    """Return the size of the micro-batches: it divides this rank's share of the batch, and fits into a GPU.

    Raises:
        UserError: the ranks cannot share the batch evenly, or one pair does not fit.
    """
    if job.batch_size % rank.world_size:
        message = f"{rank.world_size} ranks cannot share a batch of {job.batch_size} pairs evenly"
        raise UserError(message, "Change [training] batch_size or world_size")
    share = job.batch_size // rank.world_size
    sizes = [size for size in range(share, 0, -1) if share % size == 0 and size <= (wanted or share)]
    if wanted or rank.device.type == "cpu":
        return sizes[0]
    largest_px = max(patch_sizes_px(job))

    def fits(size: int) -> bool:
        try:
            module.try_out(job, rank.device, largest_px, size)
        except torch.OutOfMemoryError:
            return False
        finally:
            torch.cuda.empty_cache()
        return True

    fitting = next((index for index, size in enumerate(sizes) if fits(size)), len(sizes))
    (index,) = rank.maximum([fitting])
    if index == len(sizes):
        message = f"Not even one patch of {largest_px} px fits into the memory of {rank.device}"
        raise UserError(message, "Lower [training] patch_px, or choose a smaller network")
    return sizes[int(index)]


def compile_module(module: NetworkWithLoss, job: TrainingJob, device: torch.device, size: int) -> str:
    """Compile forward and backward for micro-batches of the patches of a job.

    Returns:
        The reason in one line if compiling failed; the module then stays uncompiled. Empty on success.
    """
    small = sum(weight.numel() for weight in module.parameters()) <= GRAPH_MAX_WEIGHTS
    problem = ""
    for mode in ["reduce-overhead", "default"] if device.type == "cuda" and small else ["default"]:
        module.compute = torch.compile(module.compare, dynamic=False, mode=mode)
        try:
            # The backward pass is compiled when it is first needed: needed here, it cannot fail later.
            for side_px in patch_sizes_px(job):
                module.try_out(job, device, side_px, size)
            return ""
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers raise errors of many types; all mean the same here
            problem = " ".join(str(error).split())[:300] or type(error).__name__
    module.compute = module.compare
    return problem
