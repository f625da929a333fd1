"""Let programs that load models with spandrel load VapSR and realtime weights: call `register` once.

Example:
    >>> from sr.integrations.spandrel import register
    >>> register()
    >>> model = spandrel.ModelLoader().load_from_file("realtime-x2.safetensors")
"""

from typing import Any

from spandrel import (
    MAIN_REGISTRY,
    Architecture,
    ArchRegistry,
    ArchSupport,
    ImageModelDescriptor,
    SizeRequirements,
)
from torch import Tensor, nn

from data.errors import UserError
from sr.models.presets import ARCHITECTURE_NAMES, ModelDescription
from sr.models.registry import build_network, recognize

_NAMES = {"vapsr": "VapSR", "realtime": "Realtime"}


class FactoryArchitecture(Architecture[nn.Module]):  # type: ignore[misc]  # spandrel ships no types
    """One of this project's architectures, as spandrel describes one.

    A state dict does not tell the color space: weights that work in another one than RGB are taken as RGB.
    """

    def __init__(self, name: str) -> None:
        """Describe the architecture of this name, one of ARCHITECTURE_NAMES."""
        super().__init__(
            id=name, name=_NAMES[name], detect=lambda weights: _recognize(weights, name) is not None
        )

    def load(self, state_dict: dict[str, Any]) -> ImageModelDescriptor[nn.Module]:
        """Build the network that the tensors belong to.

        Raises:
            ValueError: they belong to another one.
        """
        description = _recognize(state_dict, self.id)
        if description is None:
            raise ValueError(f"These weights are of no {self.name} network.")
        network = build_network(description)
        darkest, brightest = description.value_range
        span = brightest - darkest

        def call(core: nn.Module, image: Tensor) -> Tensor:
            """Upscale [n,3,h,w], 0 to 1, in the type that the weights have."""
            values: Tensor = core(image * span + darkest)
            return ((values - darkest) / span).to(image.dtype)

        return ImageModelDescriptor(
            network.core,
            state_dict,
            architecture=self,
            purpose="SR",
            tags=[description.preset] if description.preset else [],
            supports_half=True,
            supports_bfloat16=True,
            scale=network.scale,
            input_channels=3,
            output_channels=3,
            size_requirements=SizeRequirements(multiple_of=network.size_multiple),
            call_fn=call,
        )


def register(registry: ArchRegistry = MAIN_REGISTRY) -> None:
    """Add VapSR and realtime to spandrel's registry, before all others; a second call changes nothing."""
    others = tuple(one.architecture.id for one in registry if one.architecture.id not in ARCHITECTURE_NAMES)
    ours = [ArchSupport.from_architecture(FactoryArchitecture(name), others) for name in ARCHITECTURE_NAMES]
    registry.add(*ours, ignore_duplicates=True)


def _recognize(weights: dict[str, Any], name: str) -> ModelDescription | None:
    """Return the network of weights, if its architecture is `name`."""
    if not all(isinstance(value, Tensor) for value in weights.values()):
        return None
    try:
        description = recognize(weights)
    except UserError:
        return None
    return description if description.architecture == name else None
