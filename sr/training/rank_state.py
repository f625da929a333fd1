"""The part of a checkpoint that only the ranks know: the positions of their partitions and their random states.

The tensors of all ranks are gathered into one checkpoint. A resumed run may assign the partitions to other ranks.
"""

import torch
from torch import Tensor

from sr.training.loader import TrainingStream

_PARTITION = "partition."


def gather_rank_states(
    stream: TrainingStream, rank: int, world_size: int, device: torch.device
) -> dict[str, Tensor]:
    """Return the named tensors of all ranks, on each rank. All ranks must call it together, between steps."""
    own = {
        f"{_PARTITION}{partition}": _bytes_tensor(state) for partition, state in stream.positions().items()
    }
    own[f"random.cpu.{rank}"] = torch.get_rng_state()
    if device.type == "cuda":
        own[f"random.cuda.{rank}"] = torch.cuda.get_rng_state(device)
    gathered: list[dict[str, Tensor]] = [{} for _ in range(world_size)]
    torch.distributed.all_gather_object(gathered, own)
    return {name: tensor for of_rank in gathered for name, tensor in of_rank.items()}


def restore_random_states(tensors: dict[str, Tensor], rank: int, device: torch.device) -> None:
    """Set this rank's random generators to the saved states, if there are any."""
    if (own := tensors.get(f"random.cpu.{rank}")) is not None:
        torch.set_rng_state(own)
    if device.type == "cuda" and (own := tensors.get(f"random.cuda.{rank}")) is not None:
        torch.cuda.set_rng_state(own)


def read_partition_positions(tensors: dict[str, Tensor]) -> dict[int, bytes]:
    """Return the saved position of every partition."""
    named = {name: tensor for name, tensor in tensors.items() if name.startswith(_PARTITION)}
    return {int(name.removeprefix(_PARTITION)): bytes(tensor.numpy()) for name, tensor in named.items()}


def _bytes_tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)
