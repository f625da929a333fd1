"""Resolve `--model`: the trained model, a model in the box, a file of weights or of a graph, or a filter."""

from collections.abc import Iterable
from pathlib import Path

from data.errors import UserError
from data.file_names import is_file, is_folder
from data.hashing import sha256_file
from data.user_paths import expand_home
from sr.models.box import BOX_MODELS, find_box_weights
from sr.models.model_contents import describe_content, describe_folder
from tasks.training_config import describe_model

TRAINED = "trained"
"""The model that [model] and [training] describe."""
WEIGHTS_SUFFIXES = (".pth", ".safetensors")
GRAPH_SUFFIXES = (".onnx", ".xml")


def is_weights(model: str) -> bool:
    """Return whether `model` names a file of weights, or a model in the box."""
    return model in BOX_MODELS or Path(model).suffix.lower() in WEIGHTS_SUFFIXES


def is_graph(model: str) -> bool:
    """Return whether `model` names an ONNX file or an OpenVINO IR."""
    return Path(model).suffix.lower() in GRAPH_SUFFIXES


def has_luma_graph(model: str) -> bool:
    """Return whether `--model` is known to work on luma alone, so that it can be exported with planes luma."""
    if model in BOX_MODELS:
        return BOX_MODELS[model].works_on_luma
    return model == TRAINED and describe_model().configuration.get("planes") == 1


def is_onnx(model: str) -> bool:
    """Return whether `model` names an ONNX file, of another program or of this one."""
    return Path(model).suffix.lower() == ".onnx"


def find_weights(model: str) -> Path:
    """Return the path of a file of weights; of a model in the box, that of its own.

    Raises:
        UserError: there is no such file, or it has another suffix.
    """
    return find_box_weights(model) or _find(model, WEIGHTS_SUFFIXES, (TRAINED,))


def find_onnx(model: str) -> Path:
    """Return the path of an ONNX file.

    Raises:
        UserError: there is no such file, or it has another suffix.
    """
    return _find(model, (".onnx",), ())


def hash_graph(model: str, names: Iterable[str]) -> dict[str, str]:
    """Hash the files of a graph.

    Args:
        model: path of an .onnx or .xml file; the .bin file beside an .xml belongs to it.
        names: the names that `--model` also takes, for the error.

    Returns:
        The sha256 of each file, by suffix.

    Raises:
        UserError: there is no such file, or it has another suffix.
    """
    path = _find(model, (*WEIGHTS_SUFFIXES, *GRAPH_SUFFIXES), names)
    files = [path, path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else [path]
    return {file.suffix: sha256_file(file) for file in files if file.is_file()}


def identify_upscaler(
    model: str, scale: int, filters: Iterable[str]
) -> str | list[str | int] | dict[str, str]:
    """Return what identifies the model in a task's parameters.

    Args:
        model: as `--model` gives it.
        scale: the scale of a filter.
        filters: the names of the interpolation filters that the task takes.

    Returns:
        "made" for a model that another task makes (the spec has that task's hash), a filter's name and scale, or the
        hashes of the files of a graph or of a model in the box.

    Raises:
        UserError: there is no such model.
    """
    if model in BOX_MODELS:
        return {"weights": sha256_file(BOX_MODELS[model].weights)}
    if model == TRAINED or is_weights(model):
        return "made"
    if model in filters:
        return [model, scale]
    return hash_graph(model, (TRAINED, *filters))


def _find(model: str, suffixes: Iterable[str], names: Iterable[str]) -> Path:
    path = expand_home(model)
    if is_file(path) and (error := describe_content(path)):
        raise error
    if path.suffix.lower() in suffixes and is_file(path):
        return path
    if is_folder(path) and (error := describe_folder(path)):
        raise error
    problem = "no such file exists" if path.suffix.lower() in suffixes else "it is no such name or file"
    named = ", ".join([*names, *BOX_MODELS])
    hint = f"Check the path; --model takes {named}, or a file ending in {', '.join(suffixes)}"
    raise UserError(f"--model is {model!r}, but {problem}", hint)
