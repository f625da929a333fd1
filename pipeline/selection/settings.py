"""What a selection depends on besides its datasets and benchmarks."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from pipeline.selection.rules import Rule


class NetworkScores(NamedTuple):
    """What a network says about every crop, see `data.crop_scores`."""

    metric: str
    """Name of the column."""
    directories: tuple[Path, ...]
    """For each dataset the directory of its scores."""


@dataclasses.dataclass(frozen=True)
class SelectionSettings:
    """Everything a selection depends on besides its datasets and benchmarks. By default nothing is rejected."""

    near_duplicate_bits: int = -1
    """Crops whose perceptual hashes differ in at most this many of 64 bits are near duplicates; -1 turns it off."""
    copy_bits: int = -1
    """Source images whose perceptual hashes differ in at most this many bits, in any orientation, are copies of one
    image; -1 turns it off."""
    leakage_bits: int = -1
    """The same for source images against the images of the benchmarks; -1 turns it off."""
    rules: tuple[Rule, ...] = ()
    """What the metrics and scores of a crop must be."""
    scores: tuple[Path, ...] = ()
    """Files of scores, see `pipeline.selection.scores`."""
    group_bits: int = -1
    """Source images that follow each other by name and whose perceptual hashes differ in at most this many bits are one
    group, which is on one side of the split; -1 turns it off."""
    max_per_source: int = 0
    """Largest number of training crops of one source image; 0 for all."""
    max_per_group: int = 0
    """Largest number of training crops of one group of source images; 0 for all."""
    max_per_dataset: tuple[int, ...] = ()
    """Largest number of training crops of each dataset, 0 for all; empty: all of all."""
    weights: tuple[float, ...] = ()
    """How the numbers of training crops of the datasets are to each other; empty: as they are."""
    max_train: int = 0
    """Largest number of training crops, chosen at random; 0 for all."""
    max_validation: int = 0
    """Largest number of validation crops, chosen at random; 0 for all."""
    seed: int = 0
    parts: Path | None = None
    """Directory with the crops that show parts of benchmark and validation images, see `pipeline.selection.parts`; None
    if these are not looked for."""
    network_scores: tuple[NetworkScores, ...] = ()
    """Scores of all crops by networks."""
    duplicates: Path | None = None
    """Directory with the training crops that show the same as others, see `pipeline.selection.part_duplicates`; None if
    these are not looked for."""
