"""The section [search] of luigi.cfg: which networks SearchArchitecture tries, and for how long."""

import luigi

from sr.search.space import ACTIVATIONS, PLANES, SWITCH, UNSHUFFLES, SearchSpace
from tasks.config import MAX_SCALE, MIN_SCALE
from tasks.runtime.list_parameters import ChoiceListParameter, IntListParameter
from tasks.runtime.parameters import FloatParameter, IntParameter, OptionalSizeParameter, Size


class search(luigi.Config):
    """What SearchArchitecture tries. How each candidate is trained is in [training], but for the number of steps."""

    trials: int = IntParameter(
        default=24, at_least=1, description="networks that are tried in all; more of them continue a search"
    )
    steps: int = IntParameter(
        default=2000, at_least=1, description="optimizer steps that each network is trained for"
    )
    validations: int = IntParameter(
        default=4, at_least=1, description="how often a network is validated in these steps"
    )
    prune_db: float = FloatParameter(
        default=0.1,
        at_least=0,
        description="a network is given up if one that is as fast is better by more than this at the same step, dB; "
        "0: never",
    )
    scale: int = IntParameter(
        default=2, at_least=MIN_SCALE, at_most=MAX_SCALE, description="scale of the networks"
    )
    layers: tuple[int, ...] = IntListParameter(
        default=(3, 4, 5, 6), at_least=2, min_items=1, description="numbers of layers, separated by commas"
    )
    channels: tuple[int, ...] = IntListParameter(
        default=(16, 24, 32, 48), at_least=1, min_items=1, description="numbers of channels"
    )
    planes: tuple[str, ...] = ChoiceListParameter(
        default=("luma",), choices=PLANES, min_items=1, description="what the residual is computed from"
    )
    unshuffle: tuple[int, ...] = IntListParameter(
        default=UNSHUFFLES, at_least=2, min_items=1, description="sides of a cell, LR pixels: 2, 4 or both"
    )
    activation: tuple[str, ...] = ChoiceListParameter(
        default=ACTIVATIONS, choices=ACTIVATIONS, min_items=1, description="activations"
    )
    reparameterize: tuple[str, ...] = ChoiceListParameter(
        default=SWITCH,
        choices=SWITCH,
        min_items=1,
        description="whether networks are trained with branches",
    )
    size: Size | None = OptionalSizeParameter(
        default=None, description="size of the LR frame that is timed, WIDTHxHEIGHT; empty: 960x540"
    )
    seconds: float = FloatParameter(
        default=2.0, above=0, description="time to measure each network, seconds; at least 5 rounds"
    )
    seed: int = luigi.IntParameter(default=0, description="seed of the choice of networks")

    def space(self) -> SearchSpace:
        """Return what is searched.

        Raises:
            UserError: a value is out of range, or occurs twice.
        """
        space = SearchSpace(
            scale=self.scale,
            layers=self.layers,
            channels=self.channels,
            planes=self.planes,
            unshuffle=self.unshuffle,
            activation=self.activation,
            reparameterize=self.reparameterize,
        )
        space.check()
        return space
