"""The models in the box: trained weights that the package has with it, each with a model card.

Plain data and files: it does not load torch, so that a command line can be checked against it at once.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sr.models.presets import find_preset

DEFAULT_MODEL = "realtime-x2"
"""What images and videos are upscaled with unless a model is named."""
_FOLDER = Path(__file__).parent / "weights"


@dataclasses.dataclass(frozen=True)
class BoxModel:
    """A model in the box."""

    name: str
    """What `--model` calls it."""
    preset: str
    """A name in `sr.models.presets.PRESETS`."""
    summary: str
    """What it is for, in a few words."""

    @property
    def weights(self) -> Path:
        """The .safetensors file."""
        return _FOLDER / f"{self.name}.safetensors"

    def graph(self, planes: str = "rgb") -> Path:
        """Return the ONNX file of the weights; planes luma is for models that work on luma.

        It is what ExportOnnx makes of the weights. With it an IR takes a second, and no torch.
        """
        return _FOLDER / (f"{self.name}.onnx" if planes == "rgb" else f"{self.name}-{planes}.onnx")

    @property
    def card_path(self) -> Path:
        """The model card, a JSON file beside the weights."""
        return _FOLDER / f"{self.name}.json"

    @property
    def works_on_luma(self) -> bool:
        """Whether it has a graph of luma alone beside that of RGB."""
        return find_preset(self.preset).configuration.get("planes") == 1

    def card(self) -> dict[str, Any]:
        """Read the model card: data and its licenses, recipe, figures, intended use, limits, commands."""
        card: dict[str, Any] = json.loads(self.card_path.read_text(encoding="utf-8"))
        return card


def _table(*rows: tuple[str, str, str]) -> Mapping[str, BoxModel]:
    return MappingProxyType({name: BoxModel(name, preset, summary) for name, preset, summary in rows})


BOX_MODELS: Mapping[str, BoxModel] = _table(
    (DEFAULT_MODEL, "realtime-x2", "images and videos, x2"),
)
"""Every model in the box by name."""


def find_box_weights(model: str | Path) -> Path | None:
    """Return the weights of a model in the box; None if `model` is not the name of one."""
    found = BOX_MODELS.get(str(model))
    return found.weights if found else None
