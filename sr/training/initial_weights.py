"""The weights that a training begins with in place of random ones: a copy of them lies in the run's directory.

A resumed run needs them, too: a layer whose kernel is zero at the start gets no branches.
"""

from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from data.atomic_files import write_bytes
from data.errors import UserError
from data.hashing import sha256_file
from sr.models.checkpoint import read_weights
from sr.models.checkpoint_file import read_safetensors_metadata
from sr.models.presets import ModelDescription

FILE = "initial.safetensors"
_SOURCE = "source_sha256"


def place_initial_weights(source: Path, run_dir: Path, description: ModelDescription) -> None:
    """Write the weights of a file, as float32, to a run's directory.

    Args:
        source: a .pth or .safetensors file.
        run_dir: the run's directory.
        description: the network that the run trains.

    Raises:
        UserError: the file cannot be read, or its weights are of another network.
    """
    weights, found = read_weights(source)
    wanted = (description.architecture, dict(description.configuration), description.color_space)
    given = (found.architecture, dict(found.configuration), found.color_space)
    if wanted != given:
        raise UserError(
            f"[model] initial_weights {source} are of {_describe(*given)}, but [model] trains {_describe(*wanted)}",
            "Choose the preset of the weights, or other weights",
        )
    stored = {name: weights[name].to(torch.float32).contiguous() for name in sorted(weights)}
    write_bytes(run_dir / FILE, save(stored, metadata={_SOURCE: sha256_file(source)}))


def load_initial_weights(run_dir: Path, sha256: str) -> dict[str, Tensor]:
    """Return the weights that a run begins with.

    Args:
        run_dir: the run's directory.
        sha256: of the file that they came from, as the run's job has it.

    Raises:
        UserError: they are not there, or came from another file.
    """
    path = run_dir / FILE
    if not path.is_file() or read_safetensors_metadata(path).get(_SOURCE) != sha256:
        problem = "are not those that job.json names" if path.is_file() else "do not exist"
        raise UserError(f"The run's initial weights {path} {problem}", "Run the same command again")
    return load(path.read_bytes())


def _describe(architecture: str, configuration: dict[str, int], color_space: str) -> str:
    numbers = ", ".join(f"{name} {value}" for name, value in configuration.items())
    return f"{architecture} ({numbers}; {color_space})"
