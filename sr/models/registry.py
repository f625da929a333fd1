"""From a name or a description to a network, and from a file's tensors to a description.

An explicit list of architectures; it never reads files (see `sr.models.checkpoint`) and never guesses: weights that
fit nothing are refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from data.errors import UserError
from sr.models import realtime, vapsr
from sr.models.network import UpsamplingNetwork
from sr.models.presets import IN_256THS, PRESETS, ModelDescription, check_color_space, find_preset
from sr.models.reparameterization import add_branches


@dataclass(frozen=True)
class Architecture:
    """One kind of network."""

    build: Callable[..., nn.Module]
    """The class; called with a configuration's items."""

    configuration_of: Callable[[Mapping[str, tuple[int, ...]]], dict[str, int] | None]
    """Tensor shapes → configuration, or None where they are of another kind."""


ARCHITECTURES: dict[str, Architecture] = {
    "vapsr": Architecture(vapsr.VapSR, vapsr.configuration_of),
    "realtime": Architecture(realtime.Realtime, realtime.configuration_of),
}


def build(preset: str) -> UpsamplingNetwork:
    """The network of a preset, with random weights from torch's global generator.

    Raises:
        UserError: there is no such preset.
    """
    return build_from(find_preset(preset))


def build_from(description: ModelDescription) -> UpsamplingNetwork:
    """The network of a description, with random weights from torch's global generator.

    Raises:
        UserError: the architecture is unknown, or configuration or color space is not one of its.
    """
    check_color_space(description)
    if description.architecture not in ARCHITECTURES:
        raise UserError(
            f"an architecture ({', '.join(ARCHITECTURES)})",
            repr(description.architecture),
            "the model's description",
            "use a version of this program that knows it",
        )
    try:
        core = ARCHITECTURES[description.architecture].build(**description.configuration)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"a configuration of {description.architecture}",
            f"{dict(description.configuration)} ({error})",
            "the model's description",
            "mend the description, or export the model again",
        ) from error
    return UpsamplingNetwork(core, description)


def build_for_training(description: ModelDescription) -> UpsamplingNetwork:
    """The same with the branches that the description asks for; untrained, it computes the same as without.

    Raises:
        UserError: as `build_from`.
    """
    network = build_from(description)
    if description.reparameterize:
        add_branches(network.core)
    return network


def recognize(weights: Mapping[str, Tensor]) -> ModelDescription:
    """Tell from the tensors' names and shapes alone which network they belong to.

    The value range leaves no trace in shapes: it is a preset's where one fits, and otherwise that of the
    family (VapSR with 3x3 projections -1..1, VapSR 0..1, realtime 256ths). Nor does the color space: it is RGB,
    as in everything that was published.

    Args:
        weights: a bare state dict: names as published, no wrapping dictionary, no prefix.

    Raises:
        UserError: no architecture fits every tensor.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    near_miss = ""
    for name, architecture in ARCHITECTURES.items():
        configuration = architecture.configuration_of(shapes)
        if configuration is None:
            continue
        difference = _first_difference(architecture, configuration, shapes)
        if not difference:
            return _describe(name, configuration)
        near_miss = f"; as {name} of {configuration}, {difference}"
    raise UserError(
        f"the weights of a known network ({', '.join(ARCHITECTURES)})",
        f"{len(shapes)} tensors that fit none{near_miss}",
        "the weights",
        "choose a checkpoint of one of these networks",
    )


def _first_difference(
    architecture: Architecture, configuration: dict[str, int], shapes: Mapping[str, tuple[int, ...]]
) -> str:
    """What keeps these shapes from being that network's, in words; empty where all fit."""
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
