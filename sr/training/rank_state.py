"""What each rank alone knows of a run's state, as named tensors: where its lanes stand, and its random states.

All ranks' tensors are gathered into one state; which rank carries which lane may be another one afterward.
"""

import torch
from torch import Tensor

from sr.training.loader import TrainingStream

_LANE = "lane."


def gather(stream: TrainingStream, rank: int, world_size: int, device: torch.device) -> dict[str, Tensor]:
    """Return what all ranks know, to each; only between steps, and by all ranks together."""
    own = {f"{_LANE}{lane}": _bytes_tensor(state) for lane, state in stream.states().items()}
    own[f"random.cpu.{rank}"] = torch.get_rng_state()
    if device.type == "cuda":
        own[f"random.cuda.{rank}"] = torch.cuda.get_rng_state(device)
    gathered: list[dict[str, Tensor]] = [{} for _ in range(world_size)]
    torch.distributed.all_gather_object(gathered, own)
    return {name: tensor for of_rank in gathered for name, tensor in of_rank.items()}


def restore_random(tensors: dict[str, Tensor], rank: int, device: torch.device) -> None:
    """Take up the random states of this rank, where there are any."""
    if (own := tensors.get(f"random.cpu.{rank}")) is not None:
        torch.set_rng_state(own)
    if device.type == "cuda" and (own := tensors.get(f"random.cuda.{rank}")) is not None:
        torch.cuda.set_rng_state(own)


def lanes_of(tensors: dict[str, Tensor]) -> dict[int, bytes]:
    """Return the position of every lane."""
    named = {name: tensor for name, tensor in tensors.items() if name.startswith(_LANE)}
    return {int(name.removeprefix(_LANE)): bytes(tensor.numpy()) for name, tensor in named.items()}


def _bytes_tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
