"""Builds a network from a description, and recognizes the network that a file's tensors belong to.

The architectures are an explicit list. Weights that fit none of them are refused; nothing is guessed. Files are read in
`sr.models.checkpoint`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from data.errors import UserError
from sr.models import realtime, vapsr
from sr.models.network import Architecture, SuperResolutionNetwork
from sr.models.presets import IN_256THS, PRESETS, ModelDescription, check_color_space
from sr.models.reparameterization import add_reparameterization


@dataclass(frozen=True)
class RegisteredArchitecture:
    """One architecture of the registry."""

    build: Callable[..., Architecture]
    """The class; called with the items of a configuration."""

    infer_configuration: Callable[[Mapping[str, tuple[int, ...]]], dict[str, int] | None]
    """Tensor shapes → configuration, or None if they belong to another architecture."""


ARCHITECTURES: dict[str, RegisteredArchitecture] = {
    "vapsr": RegisteredArchitecture(vapsr.VapSR, vapsr.infer_configuration),
    "realtime": RegisteredArchitecture(realtime.Realtime, realtime.infer_configuration),
}


def build_network(description: ModelDescription) -> SuperResolutionNetwork:
    """Build the network of a description, with random weights from torch's global generator.

    Raises:
        UserError: the architecture is unknown, or does not support the configuration or the color space.

    Example:
        >>> network = build_network(find_preset("realtime-x2"))
    """
    check_color_space(description)
    if description.architecture not in ARCHITECTURES:
        message = (
            f"The model's architecture {description.architecture!r} is not one of {', '.join(ARCHITECTURES)}"
        )
        raise UserError(message, "Use a version of this program that knows it")
    try:
        core = ARCHITECTURES[description.architecture].build(**description.configuration)
    except (TypeError, ValueError) as error:
        configuration = dict(description.configuration)
        message = (
            f"The model's description is not valid: {description.architecture} of {configuration} ({error})"
        )
        raise UserError(message, "Correct the configuration, or export the model again") from error
    return SuperResolutionNetwork(core, description)


def build_for_training(
    description: ModelDescription, weights: Mapping[str, Tensor] | None = None
) -> SuperResolutionNetwork:
    """Build a network with the branches that the description asks for, which do not change what it computes.

    Args:
        description: the network.
        weights: of the network without branches; None: random weights.

    Raises:
        UserError: as `build_network`.
    """
    network = build_network(description)
    if weights is not None:
        network.core.load_state_dict(dict(weights))
    if description.reparameterize:
        add_reparameterization(network.core)
    return network


def recognize(weights: Mapping[str, Tensor]) -> ModelDescription:
    """Recognize the network that tensors belong to, from their names and shapes alone.

    Shapes do not show the value range: it is taken from the preset that matches, or else from the family (VapSR with
    3x3 projections -1..1, other VapSR 0..1, realtime 256ths). Nor do they show the color space: it is RGB, as in all
    published weights.

    Args:
        weights: a bare state dict: names as published, no wrapping dictionary, no prefix.

    Raises:
        UserError: no architecture fits every tensor.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    near_miss = ""
    for name, architecture in ARCHITECTURES.items():
        configuration = architecture.infer_configuration(shapes)
        if configuration is None:
            continue
        difference = _find_difference(architecture, configuration, shapes)
        if not difference:
            return _describe(name, configuration)
        near_miss = f"; closest is {name} of {configuration}, but {difference}"
    message = (
        f"The weights ({len(shapes)} tensors) fit none of the networks {', '.join(ARCHITECTURES)}{near_miss}"
    )
    raise UserError(message, "Choose a checkpoint of one of these networks")


def _find_difference(
    architecture: RegisteredArchitecture,
    configuration: dict[str, int],
    shapes: Mapping[str, tuple[int, ...]],
) -> str:
    """Describe the first difference of these shapes from a network's; return an empty string if all fit."""
    try:
        with torch.device("meta"):
            weights = architecture.build(**configuration).state_dict()
    except ValueError as error:
        return str(error)
    expected = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(expected.keys() | shapes.keys()):
        right, found = expected.get(name, "absent"), shapes.get(name, "absent")
        if right != found:
            return f"tensor {name} should be {right} and is {found}"
    return ""


def _describe(architecture: str, configuration: dict[str, int]) -> ModelDescription:
    for preset in PRESETS.values():
        if preset.architecture == architecture and preset.configuration == configuration:
            return preset
    if architecture == "realtime":
        return ModelDescription(architecture, configuration, IN_256THS)
    signed = configuration["projection"] == 3
    return ModelDescription(architecture, configuration, (-1.0, 1.0) if signed else (0.0, 1.0))
