"""One optimizer step: DeepSpeed's engine around a network and its loss, beside it the weights' average.

The state of all of it goes in and out as plain tensors and numbers. Knows nothing of files, epochs or
validation.
"""

import copy
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import deepspeed
import deepspeed.ops
import torch
from torch import Tensor, nn

from data.errors import UserError
from data.records import TrainingJob
from sr.evaluation.lpips import LEAST_PX
from sr.models.network import UpsamplingNetwork
from sr.models.reparameterization import fused
from sr.training.loader import Batch
from sr.training.losses import WeightedLoss

_AUTOCAST = {"fp32": None, "bf16": "bfloat16", "fp16": "float16"}
"""Precision → the type that convolutions are computed in; weights and optimizer are float32 always."""


class LossOfNetwork(nn.Module):
    """A network and its loss as one module: one graph for autocast, DeepSpeed and compilers."""

    def __init__(self, network: UpsamplingNetwork, loss: WeightedLoss) -> None:
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
            The float32 loss, a scalar; and its terms, [number of them], without a gradient.
        """
        return self._compute(lr_image, hr_image)

    def _eager(self, lr_image: Tensor, hr_image: Tensor) -> tuple[Tensor, Tensor]:
        return self.loss(self.network.predict(lr_image), self.network.normalize(hr_image))

    def compile(self, lr_image: Tensor, hr_image: Tensor) -> str:
        """Compile forward and backward, for batches like these, under the autocast that is in force.

        Returns:
            Why that failed, in a line; all goes on without compiling then. Empty where it did not.
        """
        self._compute = torch.compile(self._eager, dynamic=False)
        try:
            # The backward half is compiled when it is first needed: needed here, it cannot fail later.
            self(lr_image, hr_image)[0].backward()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # what a compiler raises is of many kinds; all mean the same here
            self._compute = self._eager
            return " ".join(str(error).split())[:300] or type(error).__name__
        finally:
            self.zero_grad(set_to_none=True)
        return ""


def start_ranks() -> tuple[int, int, torch.device]:
    """Join the other ranks that the launcher started; return this rank, their number and its device."""
    # The launcher counts CPU ranks by the variable that hides GPUs, and so shows the first ones again.
    on_gpu = os.environ.get("DS_ACCELERATOR") != "cpu" and torch.cuda.is_available()
    # DeepSpeed would compile a shared-memory reduction here, for half a minute. Only inference calls it.
    vars(deepspeed.ops)["__compatible_ops__"] = {}
    device = torch.device("cpu")
    if on_gpu:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        # Patches have one size, so trying each convolution's algorithms once pays.
        torch.backends.cudnn.benchmark = True
    deepspeed.init_distributed(dist_backend="nccl" if on_gpu else "gloo", verbose=False)
    return torch.distributed.get_rank(), torch.distributed.get_world_size(), device


def sum_over_ranks(values: list[float], device: torch.device) -> list[float]:
    """Add up each value over all ranks, in double precision; every rank gets the sums."""
    total = torch.tensor(values, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(total)
    return total.tolist()


class TrainingEngine:
    """A network in training on this rank."""

    def __init__(
        self,
        network: UpsamplingNetwork,
        job: TrainingJob,
        world_size: int,
        device: torch.device,
        lpips_weights: Path | None = None,
    ) -> None:
        """Wrap `network`; ranks must be given equal weights, and equal calls.

        Args:
            network: what is trained; moved to `device`.
            job: loss, optimizer and precision.
            ranks: number of processes.
            device: where this one computes.
            lpips_weights: the directory with the weights of LPIPS, where the loss has such a term.

        Raises:
            UserError: loss or precision is unknown, or does not fit the patches.
        """
        self.job, self.network = job, network
        network.to(device)
        # The fused update is one kernel on CUDA and on CPUs.
        self.optimizer = torch.optim.AdamW(
            network.parameters(), betas=(job.beta1, job.beta2), weight_decay=job.weight_decay, fused=True
        )
        self.loss = WeightedLoss(job.loss, network.value_range, device, lpips_weights)
        if "lpips" in self.loss.names and job.patch_px < LEAST_PX:
            expected = f"a patch of at least {LEAST_PX} px for the loss lpips"
            raise UserError(expected, f"{job.patch_px} px", "the training settings", "change patch_px")
        module = LossOfNetwork(network, self.loss)
        self._engine, *_ = deepspeed.initialize(
            model=module, optimizer=self.optimizer, config=deepspeed_config(job, world_size)
        )
        # One rank has nothing to share; DeepSpeed would copy every gradient all the same.
        self._engine.enable_backward_allreduce = world_size > 1
        # Only now: DeepSpeed's first broadcast wants weights that are contiguous.
        network.to(memory_format=torch.channels_last)
        self._weights = dict(network.core.named_parameters())
        self._averaged = _copy(network) if job.ema_decay else None
        self._averages = list(self._averaged.core.parameters()) if self._averaged else []
        self._raw_weights = [weight.detach() for weight in self._weights.values()]
        self.gradient_norm = math.nan
        """Of the last step that was measured."""
        self.not_compiled = _compile(module, job, device) if job.compile else ""
        """Why the run goes on without compiling though it was asked for; empty otherwise."""

    @property
    def judged(self) -> UpsamplingNetwork:
        """The network to judge and to keep: that of the moving average where there is one."""
        return self._averaged or self.network

    def whole_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss that is minimized, without its terms: float32 [n,3,h,w] twice → scalar."""
        return self.loss(prediction, target)[0]

    def step(self, batches: list[Batch], learning_rate: float, measure: bool = False) -> Tensor:
        """Learn from one step's micro batches of this rank.

        Args:
            batches: this rank's share.
            learning_rate: of this step.
            measure: whether to take `gradient_norm` of this step: on a GPU, that waits for it.

        Returns:
            Their mean loss and its terms, float32 [1 + number of terms] on the device, not waited for.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        losses = []
        for number, batch in enumerate(batches, 1):
            loss, terms = self._engine(batch.lr_image, batch.hr_image)
            self._engine.backward(loss)
            if measure and number == len(batches):
                self.gradient_norm = self._norm_of_gradients()
            self._engine.step()
            losses.append(torch.cat([loss.detach().reshape(1), terms]))
        if self._averaged is not None:
            torch._foreach_lerp_(self._averages, self._raw_weights, 1.0 - self.job.ema_decay)
        return torch.stack(losses).mean(dim=0)

    def _norm_of_gradients(self) -> float:
        """Of all gradients together, over all ranks, before clipping."""
        gradients = [weight.grad for weight in self._weights.values() if weight.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        scaler = self._scaler()
        return norm / scaler.get_scale() if scaler else norm

    def is_finite(self) -> bool:
        """Whether all weights, averages and moments are finite numbers; the same on every rank, and waited for."""
        values = (value for state in self.optimizer.state.values() for value in state.values())
        moments = [value for value in values if value.dim()]
        largest = torch._foreach_norm([*self._raw_weights, *self._averages, *moments], math.inf)
        return bool(torch.stack(largest).isfinite().all())

    def applied_steps(self) -> int:
        """How many steps the optimizer has made; fp16's scaler leaves some out."""
        # The fused update counts down again where the scaler found infinities.
        return max((int(state["step"]) for state in self.optimizer.state.values()), default=0)

    def kept_weights(self) -> dict[str, Tensor]:
        """A copy of the judged network's weights, branches fused, on the CPU, float32, under published names."""
        return {name: _on_cpu(weight) for name, weight in fused(self.judged.core).state_dict().items()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that the next step depends on: named tensors on the CPU, and plain data."""
        tensors = {f"network.{name}": weight for name, weight in self.network.core.state_dict().items()}
        if self._averaged is not None:
            averages = self._averaged.core.state_dict()
            tensors |= {f"average.{name}": weight for name, weight in averages.items()}
        for name, weight in self._weights.items():
            for kind, value in self.optimizer.state[weight].items():
                tensors[f"optimizer.{kind}.{name}"] = value
        scaler = self._scaler()
        return {
            name: _on_cpu(tensor) for name, tensor in tensors.items()
        }, scaler.state_dict() if scaler else {}

    def restore(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self.network.core.load_state_dict(_below("network.", tensors))
        if self._averaged is not None:
            self._averaged.core.load_state_dict(_below("average.", tensors))
        kinds = {name.split(".")[1] for name in tensors if name.startswith("optimizer.")}
        states = {}
        for index, (name, weight) in enumerate(self._weights.items()):
            values = {kind: tensors[f"optimizer.{kind}.{name}"] for kind in kinds}
            # The fused update walks weight and moments side by side: they must lie alike in memory.
            states[index] = {
                kind: torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value.clone()
                for kind, value in values.items()
            }
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": states, "param_groups": groups})
        if scaler := self._scaler():
            scaler.load_state_dict(dict(plain))

    def _scaler(self) -> torch.amp.GradScaler | None:
        """The loss scaler: with fp16 only."""
        return self._engine.torch_autocast_z0_gradscaler


def deepspeed_config(job: TrainingJob, world_size: int) -> dict[str, Any]:
    """DeepSpeed's settings for a job; no ZeRO, since these networks are small.

    Raises:
        UserError: the ranks cannot share a step's micro batches.
    """
    if job.gradient_accumulation_steps % world_size:
        expected = (
            f"a number of ranks that divides the {job.gradient_accumulation_steps} micro batches of a step"
        )
        raise UserError(
            expected,
            str(world_size),
            "the training settings",
            "change gradient_accumulation_steps or the number of devices",
        )
    autocast = _AUTOCAST[job.precision]
    return {
        "train_micro_batch_size_per_gpu": job.micro_batch_size,
        "gradient_accumulation_steps": job.gradient_accumulation_steps // world_size,
        "gradient_clipping": job.max_grad_norm,
        "zero_optimization": {"stage": 0},
        "torch_autocast": {"enabled": autocast is not None, "dtype": autocast or "float32"},
        "steps_per_print": None,
    }


def _compile(module: LossOfNetwork, job: TrainingJob, device: torch.device) -> str:
    """Compile for the batches of a job; return why that failed, if it did."""
    network = module.network
    lr_image, hr_image = (
        torch.zeros(job.micro_batch_size, 3, side_px, side_px, dtype=torch.uint8, device=device).contiguous(
            memory_format=torch.channels_last
        )
        for side_px in (job.patch_px // network.scale, job.patch_px)
    )
    autocast = _AUTOCAST[job.precision]
    with torch.autocast(device.type, getattr(torch, autocast or "bfloat16"), enabled=autocast is not None):
        return module.compile(lr_image, hr_image)


def _copy(network: UpsamplingNetwork) -> UpsamplingNetwork:
    """A network of its own weights, equal now, that is not learned with."""
    return UpsamplingNetwork(copy.deepcopy(network.core), network.description).requires_grad_(False)


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
