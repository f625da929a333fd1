"""One optimizer step: DeepSpeed's engine around a network and its loss, and the EMA of the weights.

Its whole state can be read and restored as plain tensors and numbers. This module does not know files, epochs or
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
from sr.evaluation.lpips import MIN_SIDE_PX
from sr.models.network import SuperResolutionNetwork
from sr.models.reparameterization import fuse_reparameterization
from sr.training.job import TrainingJob
from sr.training.losses import WeightedLoss
from sr.training.partitions import Batch

_AUTOCAST = {"fp32": None, "bf16": "bfloat16", "fp16": "float16"}
"""Precision → the type that convolutions are computed in; weights and optimizer states are always float32."""


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

    def compile_graph(self, lr_image: Tensor, hr_image: Tensor) -> str:
        """Compile forward and backward for batches of these shapes, under the active autocast.

        Returns:
            The reason in one line if compiling failed; the module then stays uncompiled. Empty on success.
        """
        self._compute = torch.compile(self._eager, dynamic=False)
        try:
            # The backward pass is compiled when it is first needed: needed here, it cannot fail later.
            self(lr_image, hr_image)[0].backward()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers raise errors of many types; all mean the same here
            self._compute = self._eager
            return " ".join(str(error).split())[:300] or type(error).__name__
        finally:
            self.zero_grad(set_to_none=True)
        return ""


def start_ranks() -> tuple[int, int, torch.device]:
    """Join the other ranks that the launcher started.

    Returns:
        This rank, the number of ranks, and the device of this rank.
    """
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
    sums: list[float] = total.tolist()
    return sums


class TrainingEngine:
    """A network in training on this rank."""

    def __init__(
        self,
        network: SuperResolutionNetwork,
        job: TrainingJob,
        world_size: int,
        device: torch.device,
        lpips_weights: Path | None = None,
    ) -> None:
        """Wrap a network. All ranks must pass equal weights and make equal calls.

        Args:
            network: the network to train; moved to `device`.
            job: loss, optimizer and precision.
            world_size: number of ranks.
            device: where this rank computes.
            lpips_weights: the directory with the weights of LPIPS, if the loss has such a term.

        Raises:
            UserError: loss or precision is unknown, or does not fit the patches.
        """
        self.job, self.network = job, network
        network.to(device)
        # The fused update is one kernel, on CUDA and on CPUs.
        self.optimizer = torch.optim.AdamW(
            network.parameters(), betas=(job.beta1, job.beta2), weight_decay=job.weight_decay, fused=True
        )
        self.loss = WeightedLoss(job.loss, network.value_range, device, lpips_weights)
        _check_lpips_patch(self.loss, job)
        module = NetworkWithLoss(network, self.loss)
        self._engine, *_ = deepspeed.initialize(
            model=module, optimizer=self.optimizer, config=deepspeed_config(job, world_size)
        )
        # One rank has nothing to share, but DeepSpeed would still copy every gradient.
        self._engine.enable_backward_allreduce = world_size > 1
        # Not before: DeepSpeed's first broadcast needs contiguous weights.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's overloads
        self._weights = dict(network.core.named_parameters())
        self._ema = _copy_network(network) if job.ema_decay else None
        self._ema_weights: list[Tensor] = list(self._ema.core.parameters()) if self._ema else []
        self._raw_weights = [weight.detach() for weight in self._weights.values()]
        self.gradient_norm = math.nan
        """Of the last step that measured it."""
        self.not_compiled = _compile(module, job, device) if job.compile else ""
        """Why the module is not compiled although the job asks for it; empty otherwise."""

    @property
    def evaluated_network(self) -> SuperResolutionNetwork:
        """The network to validate and to keep: the EMA if there is one, otherwise the trained network."""
        return self._ema or self.network

    def total_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the minimized loss without its terms: float32 [n,3,h,w] twice → scalar."""
        total: Tensor = self.loss(prediction, target)[0]
        return total

    def step(self, batches: list[Batch], learning_rate: float, measure: bool = False) -> Tensor:
        """Make an optimizer step from this rank's micro-batches.

        Args:
            batches: this rank's share of the step.
            learning_rate: of this step.
            measure: whether to update `gradient_norm`, which waits for a GPU.

        Returns:
            The mean loss and its terms, float32 [1 + number of terms] on the device, without waiting for it.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        losses = []
        for number, batch in enumerate(batches, 1):
            loss, terms = self._engine(batch.lr_image, batch.hr_image)
            self._engine.backward(loss)
            if measure and number == len(batches):
                self.gradient_norm = self._measure_gradient_norm()
            self._engine.step()
            losses.append(torch.cat([loss.detach().reshape(1), terms]))
        if self._ema is not None:
            torch._foreach_lerp_(self._ema_weights, self._raw_weights, 1.0 - self.job.ema_decay)
        return torch.stack(losses).mean(dim=0)

    def _measure_gradient_norm(self) -> float:
        """Return the norm of all gradients together, over all ranks, before clipping."""
        gradients = [weight.grad for weight in self._weights.values() if weight.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        scaler = self._scaler()
        return norm / scaler.get_scale() if scaler else norm

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
        """Return everything that the next step depends on: named tensors on the CPU, and the loss scaler's state."""
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


def deepspeed_config(job: TrainingJob, world_size: int) -> dict[str, Any]:
    """Return DeepSpeed's configuration for a job, without ZeRO, since these networks are small.

    Raises:
        UserError: the ranks cannot share the micro-batches of a step evenly.
    """
    if job.gradient_accumulation_steps % world_size:
        message = (
            f"{world_size} ranks cannot share {job.gradient_accumulation_steps} micro-batches per step evenly"
        )
        raise UserError(message, "Change gradient_accumulation_steps or the number of devices")
    autocast = _AUTOCAST[job.precision]
    return {
        "train_micro_batch_size_per_gpu": job.micro_batch_size,
        "gradient_accumulation_steps": job.gradient_accumulation_steps // world_size,
        "gradient_clipping": job.max_grad_norm,
        "zero_optimization": {"stage": 0},
        "torch_autocast": {"enabled": autocast is not None, "dtype": autocast or "float32"},
        "steps_per_print": None,
    }


def _check_lpips_patch(loss: WeightedLoss, job: TrainingJob) -> None:
    if "lpips" in loss.names and job.patch_px < MIN_SIDE_PX:
        message = f"The loss lpips needs patches of at least {MIN_SIDE_PX} px, but patch_px is {job.patch_px}"
        raise UserError(message, "Change [training] patch_px")


def _compile(module: NetworkWithLoss, job: TrainingJob, device: torch.device) -> str:
    """Compile for the batches of a job; return the reason if that failed."""
    network = module.network
    lr_image, hr_image = (
        torch.zeros(job.micro_batch_size, 3, side_px, side_px, dtype=torch.uint8, device=device).contiguous(
            memory_format=torch.channels_last
        )
        for side_px in (job.patch_px // network.scale, job.patch_px)
    )
    autocast = _AUTOCAST[job.precision]
    with torch.autocast(device.type, getattr(torch, autocast or "bfloat16"), enabled=autocast is not None):
        return module.compile_graph(lr_image, hr_image)


def _copy_network(network: SuperResolutionNetwork) -> SuperResolutionNetwork:
    """Return an independent copy with equal weights that are not trained."""
    return SuperResolutionNetwork(copy.deepcopy(network.core), network.description).requires_grad_(False)


def _copy_to_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _select(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names have a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
