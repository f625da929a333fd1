"""From shards to a model and its numbers: loader, models, training, evaluation, export, upscaling.

The only package that imports torch, deepspeed, DALI, onnx, openvino and nncf. Importing `sr` itself loads
none of them, and it never imports `pipeline`, `tasks` or luigi. For programs that only use a model, it has
`load_upscaler` (docs/deployment.md), which is imported when it is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sr.runtime.upscalers import load_upscaler

__all__ = ["load_upscaler"]


def __getattr__(name: str) -> Any:
    if name != "load_upscaler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sr.runtime.upscalers import load_upscaler

    return load_upscaler
