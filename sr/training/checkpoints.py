"""Checkpoints on disk: each is complete or absent, only the latest few are kept, and none contains pickled code.

A checkpoint is a directory `checkpoints/step-<9 digits>/` with state.safetensors (all tensors, by name) and state.json
(everything else, and the hash of the tensors). The other files of a run are rewritten from its checkpoint, so a
checkpoint is all that a run needs to resume. A thread writes them, from a copy of the state, while training goes on.
This module does not know what the tensors mean.
"""

import dataclasses
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from data.atomic_files import atomic_directory, read_json, write_json
from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.hashing import sha256_file
from sr.training.settings import CHANGEABLE_FIELDS

SCHEMA = 4
_TENSORS, _METADATA = "state.safetensors", "state.json"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The state of a run after an optimizer step."""

    step: int
    """Completed optimizer steps."""
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]
    """Everything that is not a tensor, as plain JSON values."""


def save_checkpoint(directory: Path, checkpoint: Checkpoint, keep: int, best_step: int = 0) -> None:
    """Write a checkpoint, then delete old ones, and all of later steps, which were skipped as damaged.

    Args:
        directory: the run's directory of checkpoints.
        checkpoint: its tensors must be contiguous and on the CPU.
        keep: number of latest checkpoints to keep, this one included; 1 or more. A checkpoint that is written a
            second time for its step is absent for a moment, so another one must exist by then.
        best_step: the checkpoint of this step is kept, too.
    """
    with atomic_directory(directory / _name(checkpoint.step)) as part:
        save_file(checkpoint.tensors, part / _TENSORS)
        metadata = {
            "schema": SCHEMA,
            "step": checkpoint.step,
            "tensors_sha256": sha256_file(part / _TENSORS),
            **checkpoint.metadata,
        }
        write_json(part / _METADATA, metadata)
    paths = _list_latest_first(directory)
    at = [path.name for path in paths].index(_name(checkpoint.step))
    older = [path for path in paths[at + max(1, keep) :] if path.name != _name(best_step)]
    for path in [*paths[:at], *older]:
        shutil.rmtree(path)


class CheckpointWriter:
    """Writes one checkpoint after the other, in a thread."""

    def __init__(self, directory: Path) -> None:
        """Write to the run's directory of checkpoints."""
        self._directory = directory
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._writing: Future[None] | None = None

    def save(self, checkpoint: Checkpoint, keep: int, best_step: int) -> None:
        """Begin to write a checkpoint, which nothing may change anymore, as `save_checkpoint` does.

        Raises:
            OSError: the one before, which is waited for, could not be written.
        """
        self.wait()
        self._writing = self._thread.submit(save_checkpoint, self._directory, checkpoint, keep, best_step)

    def wait(self) -> None:
        """Return when all checkpoints are complete; raise OSError if one could not be written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def load_latest_checkpoint(directory: Path, report: Callable[[str], None]) -> Checkpoint | None:
    """Load the latest checkpoint whose files are intact; return None if there is none.

    Args:
        directory: the run's directory of checkpoints.
        report: called with a line of text for each damaged checkpoint.

    Raises:
        UserError: another version of this program wrote the checkpoint.
    """
    for path in _list_latest_first(directory):
        if (checkpoint := _load(path)) is not None:
            return checkpoint
        report(f"skipping checkpoint {path}: it is damaged")
    return None


def _load(path: Path) -> Checkpoint | None:
    """Load the checkpoint in a directory; return None if it is damaged."""
    try:
        metadata = read_json(path / _METADATA)
        version = metadata.pop("schema")
    except (UserError, KeyError, TypeError, AttributeError, OSError) as error:
        raise_if_exhausted(error)
        return None
    if version != SCHEMA:
        message = f"The checkpoint {path} has version {version}, but this program reads version {SCHEMA}"
        hint = "Resume with the version of the program that wrote it, or delete the run's checkpoints to start over"
        raise UserError(message, hint)
    step, digest = metadata.pop("step", None), metadata.pop("tensors_sha256", None)
    if not (path / _TENSORS).is_file() or sha256_file(path / _TENSORS) != digest:
        return None
    return Checkpoint(step, load_file(path / _TENSORS), metadata)


def find_changes(before: dict[str, Any], now: dict[str, Any], step: int, where: str) -> list[dict[str, Any]]:
    """Compare the job of a run's checkpoint with the job it resumes with.

    Args:
        before, now: the fields of both jobs.
        step: completed optimizer steps.
        where: the run, for the error message.

    Returns:
        The permitted changes, sorted by field: {"step", "field", "from", "to"}.

    Raises:
        UserError: a field has changed that makes it a different run. The path of the selection may change, but not
            its hash.
    """
    before, now = ({"initial_weights": ""} | one for one in (before, now))  # older runs do not have it
    differences = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    if forbidden := [name for name in differences if name not in CHANGEABLE_FIELDS and name != "selection"]:
        was = ", ".join(f"{name} {before.get(name)!r}" for name in forbidden)
        found = ", ".join(f"{name} {now.get(name)!r}" for name in forbidden)
        message = f"{where} holds a run with other settings: it began with {was}, but the job says {found}"
        raise UserError(message, "Restore these settings, or train in another directory")
    recorded = [name for name in differences if name != "selection"]
    return [{"step": step, "field": name, "from": before.get(name), "to": now.get(name)} for name in recorded]


def _name(step: int) -> str:
    return f"step-{step:09d}"


def _list_latest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("step-*"), reverse=True)
