"""Training states on disk: each whole or absent, the newest few kept, no pickle in them.

A state is a directory `checkpoints/step-<9 digits>/` with state.safetensors (every tensor, named) and
state.json (everything else, and the hash of the former). The run's other files are written again from it, so
a state is all that a run needs. It does not know what the tensors mean.
"""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from data.atomic_files import atomic_directory, read_json, write_json
from data.errors import UserError
from data.hashing import sha256_file
from sr.training.settings import MAY_CHANGE

SCHEMA = 2
_TENSORS, _PLAIN = "state.safetensors", "state.json"


@dataclasses.dataclass(frozen=True)
class TrainingState:
    """A run at the end of a step."""

    step: int
    """Optimizer steps done."""
    tensors: dict[str, Tensor]
    plain: dict[str, Any]
    """JSON data."""


def save_state(directory: Path, state: TrainingState, kept: int, best_step: int = 0) -> None:
    """Write a state, then remove older ones, and all of later steps: those were passed over as damaged.

    Args:
        directory: the run's directory of states.
        state: tensors on the CPU and contiguous.
        kept: how many of the newest stay, this one included; 1 or more. Before a state of the same step is written
            again there must be another, since for a moment neither is there.
        best_step: the state of this step stays, too.
    """
    with atomic_directory(directory / _name(state.step)) as part:
        save_file(state.tensors, part / _TENSORS)
        plain = {
            "schema": SCHEMA,
            "step": state.step,
            "tensors_sha256": sha256_file(part / _TENSORS),
            **state.plain,
        }
        write_json(part / _PLAIN, plain)
    found = _newest_first(directory)
    at = [path.name for path in found].index(_name(state.step))
    older = [path for path in found[at + max(1, kept) :] if path.name != _name(best_step)]
    for path in [*found[:at], *older]:
        shutil.rmtree(path)


def load_newest(directory: Path, tell: Callable[[str], None]) -> TrainingState | None:
    """Return the newest state whose files are whole, or None where there is none.

    Args:
        directory: the run's directory of states.
        tell: given a line for each state that is passed over.

    Raises:
        UserError: a state was written by another version.
    """
    for path in _newest_first(directory):
        if (state := _whole(path)) is not None:
            return state
        tell(f"passed over {path}, which is damaged")
    return None


def _whole(path: Path) -> TrainingState | None:
    """The state in a directory; None where it is damaged."""
    try:
        plain = read_json(path / _PLAIN)
        version = plain.pop("schema")
    except (UserError, KeyError, TypeError, AttributeError, OSError):
        return None
    if version != SCHEMA:
        raise UserError(f"a state of version {SCHEMA}", "another", str(path), "use the version that wrote it")
    step, digest = plain.pop("step", None), plain.pop("tensors_sha256", None)
    if not (path / _TENSORS).is_file() or sha256_file(path / _TENSORS) != digest:
        return None
    return TrainingState(step, load_file(path / _TENSORS), plain)


def changes_of(before: dict[str, Any], now: dict[str, Any], step: int, where: str) -> list[dict[str, Any]]:
    """Compare the job a run was made with to the one it is taken up with.

    Returns:
        What was changed and may be: {"step", "field", "from", "to"} each, in the order of the names.

    Raises:
        UserError: something was changed that makes it another run. The selection's path may; its hash may not.
    """
    differences = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    if forbidden := [name for name in differences if name not in MAY_CHANGE and name != "selection"]:
        was = ", ".join(f"{name} {before.get(name)!r}" for name in forbidden)
        found = ", ".join(f"{name} {now.get(name)!r}" for name in forbidden)
        raise UserError(
            f"the run's own settings ({was})", found, where, "restore them, or train in another directory"
        )
    recorded = [name for name in differences if name != "selection"]
    return [{"step": step, "field": name, "from": before.get(name), "to": now.get(name)} for name in recorded]


def _name(step: int) -> str:
    return f"step-{step:09d}"


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("step-*"), reverse=True)
