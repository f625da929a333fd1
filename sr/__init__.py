"""From shards to a model and its numbers: training, evaluation, export and upscaling.

Programs that only apply a model need one function, `load_upscaler`:

    >>> from PIL import Image
    >>> from sr import load_upscaler
    >>> upscale = load_upscaler("realtime-x2")  # in the box; or a model file, "bicubic" or "lanczos"
    >>> upscale(Image.open("in.png")).save("out.png")

docs/how-to/upscale-in-python.md says more. This is the only package that imports torch, deepspeed, DALI, onnx,
openvino, nncf and optuna. Importing `sr` itself loads none of them: `load_upscaler` is imported on first use. It never
imports `pipeline`, `tasks` or luigi.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sr.upscale.load import load_upscaler

__all__ = ["load_upscaler"]


def __getattr__(name: str) -> Any:
    """Import `load_upscaler` on first use."""
    if name != "load_upscaler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sr.upscale.load import load_upscaler

    return load_upscaler
