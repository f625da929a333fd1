"""Which optional packages a task needs, checked before a run begins.

The base installation prepares data; training, evaluation and export need more (setup.cfg, `[options.extras_require]`).
"""

import importlib.util
from collections.abc import Iterator

import luigi
from luigi.task import flatten

from data.errors import UserError

MODULES: dict[str, tuple[str, ...]] = {
    "train": ("torch", "deepspeed", "tensorboard", "safetensors", "skimage"),
    "export": (
        "torch",
        "onnx",
        "onnxruntime",
        "onnxscript",
        "openvino",
        "nncf",
        "safetensors",
        "skimage",
    ),
    "scores": ("torch", "pyiqa", "timm", "torchvision"),
    "models": ("spandrel", "einops", "torchvision"),
    "gain": ("bjontegaard", "imageio_ffmpeg", "openvino"),
}
MODULES["ncnn"] = (*MODULES["export"], "ncnn", "pnnx")
MODULES["search"] = (*dict.fromkeys(MODULES["train"] + MODULES["export"]), "optuna")
"""For each extra, the top-level modules that its tasks import. DALI is left out: training works without it."""

_ALONE = {"scores": "pyiqa==0.1.16"}
"""Packages that an extra can't name: what they require would replace OpenCV by another build."""


def check_extras(root: luigi.Task) -> None:
    """Check that everything is installed that a task, and the unfinished tasks below it, import.

    A task names what it needs by a class attribute, `extra`.

    Raises:
        UserError: modules are missing; the hint says which extra brings them.
    """
    missing = {extra: [name for name in names if not _is_installed(name)] for extra, names in MODULES.items()}
    if not any(missing.values()):
        return
    for task in _unfinished(root, set()):
        extra = getattr(task, "extra", "")
        if names := missing.get(extra):
            raise UserError(
                f"{task.task_family} needs {', '.join(names)}, not installed here", install_hint(extra)
            )


def install_hint(extra: str) -> str:
    """Return what to run to get an extra."""
    alone = f", then: pip install --no-deps {_ALONE[extra]}" if extra in _ALONE else ""
    return (
        f"Run: pip install 'super-resolution-factory[{extra}]' "
        f"(in a clone: pip install -c constraints.txt -e '.[{extra}]'){alone}"
    )


def extra_of(error: BaseException) -> str | None:
    """Return the extra that brings the module that an import did not find; None for any other error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    name = error.name.partition(".")[0]
    return next((extra for extra, modules in MODULES.items() if name in modules), None)


def _unfinished(task: luigi.Task, seen: set[str]) -> Iterator[luigi.Task]:
    """Yield a task that is not complete and all such tasks that it needs, each once, those it needs first."""
    if task.task_id in seen:
        return
    seen.add(task.task_id)
    try:
        needed = None if task.complete() else flatten(task.requires())
    except UserError:  # the run itself says what is wrong
        return
    if needed is None:
        return
    for one in needed:
        yield from _unfinished(one, seen)
    yield task


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # a finder refuses it, or sys.modules marks it as absent
        return False
