"""Which model a person means by --model of the tasks that upscale: what it requires, and what it is."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.hashing import sha256_file
from tasks.export import ExportOpenVINO
from tasks.train import TRAINED, WEIGHTS_SUFFIXES

GRAPH_SUFFIXES = (".onnx", ".xml")


def requires_of(model: str, precision: str = "") -> dict[str, ExportOpenVINO]:
    """Return the model as an IR; none for a formula, and for a file that is a graph already."""
    if model == TRAINED or Path(model).suffix in WEIGHTS_SUFFIXES:
        return {"model": ExportOpenVINO(model=model, precision=precision)}
    return {}


def identity_of(model: str, scale: int, formulas: Iterable[str]) -> Any:
    """Return what names a directory by the model: "made", a formula with its scale, or the hashes of its files.

    Raises:
        UserError: it is none of these.
    """
    if requires_of(model):
        return "made"
    if model in formulas:
        return [model, scale]
    return graph_identity(model, (TRAINED, *formulas))


def graph_identity(model: str, names: Iterable[str]) -> dict[str, str]:
    """Return the hashes of a graph's files, by suffix.

    Args:
        model: a path.
        names: what could have been named instead, for the error.

    Raises:
        UserError: there is no such graph.
    """
    path = Path(model).expanduser()
    if path.suffix not in GRAPH_SUFFIXES or not path.is_file():
        files = ", ".join([*WEIGHTS_SUFFIXES, *GRAPH_SUFFIXES])
        known = f"{', '.join(names)}, or a file ending in {files}"
        raise UserError(known, repr(model), "--model", "check the path")
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    return {one.suffix: sha256_file(one) for one in files if one.is_file()}
