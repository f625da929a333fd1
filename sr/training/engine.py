"""One optimizer step: DeepSpeed's engine around a network and its loss, gradient clipping, AdamW and the EMA.

A step never waits for a GPU. Its whole state can be read and restored as plain tensors and numbers. This module does
not know files, epochs or validation.
"""

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import deepspeed
import torch
from torch import Tensor, nn

from data.errors import UserError
from sr.distributed.ranks import Rank
from sr.evaluation.lpips import MIN_SIDE_PX
from sr.models.network import SuperResolutionNetwork
from sr.models.reparameterization import fuse_reparameterization
from sr.pairs.batches import Batch
from sr.pairs.settings import patch_sizes_px
from sr.training.graph import AUTOCAST, NetworkWithLoss, compile_module, fit_micro_batch
from sr.training.job import TrainingJob
from sr.training.losses import WeightedLoss
from sr.training.schedule import ema_decay_at
from sr.training.settings import parse_loss


class TrainingEngine:
    """A network in training on this rank."""

    def __init__(
        self,
        network: SuperResolutionNetwork,
        job: TrainingJob,
        rank: Rank,
        micro_batch_size: int = 0,
        lpips_weights: Path | None = None,
    ) -> None:
        """Wrap a network. All ranks must pass equal weights and make equal calls.

        Args:
            network: the network to train; moved to the rank's device.
            job: loss, optimizer and precision.
            rank: this process.
            micro_batch_size: the largest number of pairs in one forward pass; 0: as many as fit.
            lpips_weights: the directory with the weights of LPIPS, if the loss has such a term.

        Raises:
            UserError: loss or precision is unknown, or does not fit the patches; or not even one pair fits.
        """
        self.job, self.network = job, network
        network.to(rank.device)
        # Said in the open: torch's own defaults differ between convolutions and products of matrices.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = job.precision == "tf32"
        _check_lpips_patch(job)
        self.loss = WeightedLoss(job.loss, network.value_range, rank.device, lpips_weights)
        self._weights, self.optimizer = _build_optimizer(network, job)
        module = NetworkWithLoss(network, self.loss)
        self.micro_batch_size = fit_micro_batch(module, job, rank, micro_batch_size)
        config = deepspeed_config(job, rank.world_size, self.micro_batch_size)
        self._engine, *_ = deepspeed.initialize(model=module, optimizer=self.optimizer, config=config)
        # One rank has nothing to share, but DeepSpeed would still copy every gradient.
        self._engine.enable_backward_allreduce = rank.world_size > 1
        # Not before: DeepSpeed's first broadcast needs contiguous weights.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's overloads
        self._ema = copy_network(network) if job.ema_decay else None
        self._ema_weights: list[Tensor] = list(self._ema.core.parameters()) if self._ema else []
        self._raw_weights = [weight.detach() for weight in network.core.parameters()]
        self.gradient_norm = torch.tensor(math.nan)
        """Of the last step, before clipping, on the device."""
        self.not_compiled = (
            compile_module(module, job, rank.device, self.micro_batch_size) if job.compile else ""
        )
        """Why the module is not compiled although the job asks for it; empty otherwise."""

    @property
    def evaluated_network(self) -> SuperResolutionNetwork:
        """The network to validate and to keep: the EMA if there is one, otherwise the trained network."""
        return self._ema or self.network

    def total_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the minimized loss without its terms: float32 [n,3,h,w] twice → scalar."""
        total: Tensor = self.loss(prediction, target)[0]
        return total

    def step(self, batch: Batch, number: int, learning_rate: float) -> Tensor:
        """Make an optimizer step.

        Args:
            batch: this rank's share of the step.
            number: of the step, counted from 0.
            learning_rate: of this step.

        Returns:
            The mean loss and its terms, float32 [1 + number of terms] on the device, without waiting for it.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        losses = []
        micro_batches = batch.split(self.micro_batch_size)
        for index, micro_batch in enumerate(micro_batches, 1):
            loss, terms = self._engine(micro_batch.lr_image, micro_batch.hr_image)
            self._engine.backward(loss)
            losses.append(torch.cat([loss.detach().reshape(1), terms]))
            if index == len(micro_batches):
                self._clip_gradients()
            self._engine.step()
        if self._ema is not None:
            torch._foreach_lerp_(self._ema_weights, self._raw_weights, 1.0 - ema_decay_at(self.job, number))
        return torch.stack(losses).mean(dim=0)

    def _clip_gradients(self) -> None:
        """Clip the gradients together, after the ranks have shared them."""
        if scaler := self._scaler():
            scaler.unscale_(self.optimizer)
        weights = list(self._weights.values())
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        self.gradient_norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        if self.job.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(
                weights, self.job.max_grad_norm, self.gradient_norm, foreach=True
            )

    def is_finite(self) -> bool:
        """Return whether all weights, EMA weights and moments are finite: the same on every rank. Waits for a GPU."""
        values = (value for state in self.optimizer.state.values() for value in state.values())
        moments = [value for value in values if value.dim()]
        largest = torch._foreach_norm([*self._raw_weights, *self._ema_weights, *moments], math.inf)
        return bool(torch.stack(largest).isfinite().all())

    def applied_steps(self) -> int:
        """Return how many steps the optimizer has made; the fp16 scaler skips some."""
        # The fused update decrements its counter where the scaler found infinities.
        return max((int(state["step"]) for state in self.optimizer.state.values()), default=0)

    def export_weights(self) -> dict[str, Tensor]:
        """Return a copy of the evaluated network's weights, fused, on the CPU, float32, under published names."""
        fused = fuse_reparameterization(self.evaluated_network.core)
        return {name: _copy_to_cpu(weight) for name, weight in fused.state_dict().items()}

    def get_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return a copy of all that the next step depends on: named tensors on the CPU, and the loss scaler's state."""
        tensors = {f"network.{name}": weight for name, weight in self.network.core.state_dict().items()}
        if self._ema is not None:
            tensors |= {f"ema.{name}": weight for name, weight in self._ema.core.state_dict().items()}
        for name, weight in self._weights.items():
            for kind, value in self.optimizer.state[weight].items():
                tensors[f"optimizer.{kind}.{name}"] = value
        scaler = self._scaler()
        on_cpu = {name: _copy_to_cpu(tensor) for name, tensor in tensors.items()}
        return on_cpu, scaler.state_dict() if scaler else {}

    def load_state(self, tensors: Mapping[str, Tensor], scaler_state: Mapping[str, Any]) -> None:
        """Restore what `get_state` returned."""
        self.network.core.load_state_dict(_select("network.", tensors))
        if self._ema is not None:
            self._ema.core.load_state_dict(_select("ema.", tensors))
        kinds = {name.split(".")[1] for name in tensors if name.startswith("optimizer.")}
        states = {}
        for index, (name, weight) in enumerate(self._weights.items()):
            values = {kind: tensors[f"optimizer.{kind}.{name}"] for kind in kinds}
            # The fused update walks weight and moments side by side: their memory layouts must match.
            states[index] = {
                kind: torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value.clone()
                for kind, value in values.items()
            }
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": states, "param_groups": groups})
        if scaler := self._scaler():
            scaler.load_state_dict(dict(scaler_state))

    def _scaler(self) -> torch.amp.GradScaler | None:
        """Return the loss scaler, which only fp16 has."""
        scaler: torch.amp.GradScaler | None = self._engine.torch_autocast_z0_gradscaler
        return scaler


def _build_optimizer(
    network: SuperResolutionNetwork, job: TrainingJob
) -> tuple[dict[str, nn.Parameter], torch.optim.AdamW]:
    """Return the weights by name in the order of the optimizer's groups, and the optimizer.

    Kernels decay toward zero. Biases, norms and scales, which have one dimension, do not.
    """
    named = dict(network.core.named_parameters())
    kernels = {
        name: weight for name, weight in named.items() if max(weight.shape, default=1) < weight.numel()
    }
    others = {name: weight for name, weight in named.items() if name not in kernels}
    groups = [
        {"params": list(kernels.values()), "weight_decay": job.weight_decay},
        {"params": list(others.values()), "weight_decay": 0.0},
    ]
    # The fused update is one kernel, on CUDA and on CPUs.
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]], betas=(job.beta1, job.beta2), fused=True
    )
    return kernels | others, optimizer


def deepspeed_config(job: TrainingJob, world_size: int, micro_batch_size: int) -> dict[str, Any]:
    """Return DeepSpeed's configuration for a job, without ZeRO, since these networks are small.

    What torch does faster is off: clipping, which would take a kernel and an exchange for each weight, and the
    measuring of its own throughput, which waits for the GPU twice a step.
    """
    kind = AUTOCAST[job.precision]
    return {
        "train_micro_batch_size_per_gpu": micro_batch_size,
        "gradient_accumulation_steps": job.batch_size // world_size // micro_batch_size,
        "gradient_clipping": 0.0,
        "zero_optimization": {"stage": 0},
        "torch_autocast": {
            "enabled": kind is not None,
            "dtype": str(kind or torch.float32).removeprefix("torch."),
        },
        "timers": {"throughput": {"enabled": False}},
        "steps_per_print": None,
    }


def _check_lpips_patch(job: TrainingJob) -> None:
    smallest = min(patch_sizes_px(job))
    if "lpips" in parse_loss(job.loss) and smallest < MIN_SIDE_PX:
        message = (
            f"The loss lpips needs patches of at least {MIN_SIDE_PX} px, but the smallest is {smallest} px"
        )
        raise UserError(message, "Change [training] patch_px or patch_stages")


def copy_network(network: SuperResolutionNetwork) -> SuperResolutionNetwork:
    """Return an independent copy with equal weights that are not trained."""
    return SuperResolutionNetwork(copy.deepcopy(network.core), network.description).requires_grad_(False)


def _copy_to_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _select(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names have a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
