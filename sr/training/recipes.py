"""How each architecture is trained unless a setting says otherwise. Plain data."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sr.models.presets import find_preset

_EVERY_ORIENTATION = {"flip_probability": 0.5, "rotate_probability": 0.75, "brightness_probability": 0.0}
"""Each of the eight orientations of a square is equally likely."""

RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # Source: Zhou et al., "Efficient Image Super-Resolution Using Vast-Receptive-Field Attention", 2022: Adam at
        # 1e-3 without decay for 1,000,000 iterations, L1, cosine annealing to 1e-7, EMA 0.999, flips and rotations.
        "vapsr": {
            "learning_rate": 1e-3,
            "learning_rate_min": 1e-7,
            "schedule": "cosine",
            "warmup_steps": 1000,
            "weight_decay": 0.0,
            "ema_decay": 0.999,
            "max_steps": 1_000_000,
            **_EVERY_ORIENTATION,
        },
        # docs/results.md has the measurements of a short run.
        "realtime": {
            "learning_rate": 1e-3,
            "learning_rate_min": 0.0,
            "schedule": "cosine",
            "warmup_steps": 200,
            "weight_decay": 1e-4,
            "ema_decay": 0.999,
            "max_steps": 500_000,
            **_EVERY_ORIENTATION,
        },
    }
)
"""Fields of a TrainingJob by architecture. Each recipe has the same fields."""


def apply_recipe(preset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which the preset's recipe takes the place of every value that is None or empty.

    Args:
        preset: a name in `sr.models.presets.PRESETS`.
        settings: fields of a TrainingJob.

    Raises:
        UserError: there is no such preset.
    """
    recipe = RECIPES[find_preset(preset).architecture]
    return {
        name: recipe[name] if value in (None, "") and name in recipe else value
        for name, value in settings.items()
    }
