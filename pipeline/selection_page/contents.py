"""Everything that the page of a selection is made from: the crops, and what the selection has decided on each."""

import copy
import dataclasses
from functools import cached_property

import numpy as np

from data.selection import SelectionManifest
from pipeline.selection.crop_table import CropTable
from pipeline.selection.decisions import Decisions
from pipeline.selection.filters import COPIES, LEAKAGE, NEAR_DUPLICATES
from pipeline.selection.hamming import Rows
from pipeline.selection.leakage import BenchmarkHashes
from pipeline.selection.settings import SelectionSettings

HASH_FILTERS = (LEAKAGE, COPIES, NEAR_DUPLICATES)
"""The filters that compare perceptual hashes."""


@dataclasses.dataclass(frozen=True)
class Contents:
    """The crops of a selection, its decisions and its settings."""

    manifest: SelectionManifest
    crops: CropTable
    """With every metric; on the sides of the split that their datasets have."""
    decisions: Decisions
    hashes: BenchmarkHashes
    settings: SelectionSettings

    @cached_property
    def grouped(self) -> CropTable:
        """The crops once groups are on one side of the split, as near-duplicates are looked for."""
        crops = copy.copy(self.crops)
        crops.set_training(self.decisions.training)
        return crops

    @property
    def filters(self) -> list[str]:
        """The names of the filters that have run, in their order."""
        return [one.filter for one in self.manifest.filters]

    def is_comparing(self, name: str) -> bool:
        """Return whether a filter has compared hashes with anything."""
        is_on = name in self.filters and getattr(self.settings, name) >= 0
        return is_on and (name != LEAKAGE or bool(self.hashes.perceptual))

    def reached(self, name: str) -> Rows:
        """Return the rows of the crops that no filter before this one rejects."""
        filters = self.decisions.filters
        return np.flatnonzero((filters < 0) | (filters >= self.filters.index(name)))

    def rejected(self, name: str) -> Rows:
        """Return the rows of the crops that a filter rejects."""
        return np.flatnonzero(self.decisions.filters == self.filters.index(name))

    @cached_property
    def selected(self) -> Rows:
        """The rows of the selected crops."""
        return np.flatnonzero(self.decisions.selected)
