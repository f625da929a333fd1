"""A network and its loss as one module, compiled for the patches of a job, and fitted into the memory of a device."""

import torch
from torch import Tensor, nn

from data.errors import UserError
from sr.distributed.ranks import Rank
from sr.models.network import SuperResolutionNetwork
from sr.training.job import TrainingJob
from sr.training.losses import WeightedLoss
from sr.training.schedule import patch_sizes_px

AUTOCAST = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precision → the type that convolutions are computed in; weights and optimizer states are always float32."""
GRAPH_MAX_WEIGHTS = 1_000_000
"""Networks of up to so many weights are compiled to CUDA graphs: their kernels take longer to start than to run."""


class NetworkWithLoss(nn.Module):
    """A network and its loss as one module: one graph for autocast, DeepSpeed and the compiler."""

    def __init__(self, network: SuperResolutionNetwork, loss: WeightedLoss) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self._compute = self._eager

    def forward(self, lr_image: Tensor, hr_image: Tensor) -> tuple[Tensor, Tensor]:
        """Compare prediction and target.

        Args:
            lr_image: uint8 [n,3,h,w].
            hr_image: uint8 [n,3,scale·h,scale·w].

        Returns:
            The float32 loss, a scalar; and its terms, [number of terms], without a gradient.
        """
        return self._compute(lr_image, hr_image)

    def _eager(self, lr_image: Tensor, hr_image: Tensor) -> tuple[Tensor, Tensor]:
        total, terms = self.loss(self.network.predict(lr_image), self.network.normalize(hr_image))
        return total, terms

    def compile_graph(self, pairs: list[tuple[Tensor, Tensor]], mode: str) -> str:
        """Compile forward and backward for batches of these shapes, under the active autocast.

        Returns:
            The reason in one line if compiling failed; the module then stays uncompiled. Empty on success.
        """
        self._compute = torch.compile(self._eager, dynamic=False, mode=mode)
        try:
            # The backward pass is compiled when it is first needed: needed here, it cannot fail later.
            for lr_image, hr_image in pairs:
                self.try_out(lr_image, hr_image)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers raise errors of many types; all mean the same here
            self._compute = self._eager
            return " ".join(str(error).split())[:300] or type(error).__name__
        return ""

    def try_out(self, lr_image: Tensor, hr_image: Tensor) -> None:
        """Run a forward and a backward pass without effect."""
        try:
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
    fitting = next((index for index, size in enumerate(sizes) if _fits(module, job, rank.device, size)), None)
    (index,) = rank.maximum([len(sizes) if fitting is None else fitting])
    if index == len(sizes):
        message = f"Not even one patch of {max(patch_sizes_px(job))} px fits into the memory of {rank.device}"
        raise UserError(message, "Lower [training] patch_px, or choose a smaller network")
    return sizes[int(index)]


def _fits(module: NetworkWithLoss, job: TrainingJob, device: torch.device, size: int) -> bool:
    try:
        with _autocast(job, device):
            module.try_out(*_blank_pair(module.network.scale, max(patch_sizes_px(job)), size, device))
    except torch.OutOfMemoryError:
        return False
    finally:
        torch.cuda.empty_cache()
    return True


def compile_module(module: NetworkWithLoss, job: TrainingJob, device: torch.device, size: int) -> str:
    """Compile for the patches of a job; return the reason if that failed."""
    pairs = [_blank_pair(module.network.scale, side_px, size, device) for side_px in patch_sizes_px(job)]
    weights = sum(weight.numel() for weight in module.parameters())
    modes = ["default"]
    if device.type == "cuda" and weights <= GRAPH_MAX_WEIGHTS:
        modes.insert(0, "reduce-overhead")
    problem = ""
    for mode in modes:
        with _autocast(job, device):
            problem = module.compile_graph(pairs, mode)
        if not problem:
            break
    return problem


def _blank_pair(scale: int, side_px: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    lr_image, hr_image = (
        torch.zeros(size, 3, side, side, dtype=torch.uint8, device=device).contiguous(
            memory_format=torch.channels_last
        )
        for side in (side_px // scale, side_px)
    )
    return lr_image, hr_image


def _autocast(job: TrainingJob, device: torch.device) -> torch.autocast:
    autocast = AUTOCAST[job.precision]
    return torch.autocast(device.type, autocast or torch.bfloat16, enabled=autocast is not None)
