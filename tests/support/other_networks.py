"""Small networks of spandrel's architectures, with random weights, for tests."""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_SIZES: dict[str, dict[str, Any]] = {
    "Compact": {"num_feat": 16, "num_conv": 3, "upscale": 2},
    "SPAN": {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 16, "upscale": 2},
    "ESRGAN": {"num_filters": 8, "num_blocks": 1, "scale": 4},
    "PLKSR": {"dim": 16, "n_blocks": 2, "upscaling_factor": 2},
    "SAFMN": {"dim": 16, "n_blocks": 2, "upscaling_factor": 2},
    "SwinIR": {
        **{"img_size": 32, "window_size": 8, "embed_dim": 12, "depths": [2], "num_heads": [2]},
        **{"mlp_ratio": 2, "upscale": 2, "upsampler": "pixelshuffledirect"},
    },
}
NAMES = tuple(_SIZES)


def make_weights(name: str, **changes: Any) -> dict[str, Tensor]:
    """Return the state dict of a network of spandrel's; the same in each run."""
    build: Callable[..., torch.nn.Module] = getattr(
        importlib.import_module(f"spandrel.architectures.{name}"), name
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        weights = build(**(_SIZES[name] | changes)).state_dict()
    return {key: value.clone() for key, value in weights.items()}
