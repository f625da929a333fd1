"""The settings of SelectSamples: [selection]."""

from pathlib import Path

import luigi

from tasks.remote_config import UrlParameter
from tasks.runtime.list_parameters import (
    IntListParameter,
    PathListParameter,
    StrListParameter,
    WeightListParameter,
)
from tasks.runtime.parameters import (
    BoolParameter,
    ChoiceParameter,
    FloatParameter,
    IntParameter,
    PathParameter,
)


class selection(luigi.Config):
    """Which crops are used for training and validation."""

    datasets: tuple[str, ...] = StrListParameter(
        default=("DIV2K",),
        min_items=1,
        description="datasets to train on: names or paths, separated by commas",
    )
    url: str = UrlParameter(
        default="",
        description="URL of a published selection to train on; its shards are fetched, and the other keys of this "
        "section do not count. Empty: a selection of this store",
    )
    near_duplicate_bits: int = IntParameter(
        default=2,
        at_least=-1,
        at_most=64,
        description="crops whose 64-bit perceptual hashes differ in at most this many bits are "
        "near-duplicates; -1: off",
    )
    copy_bits: int = IntParameter(
        default=8,
        at_least=-1,
        at_most=64,
        description="images whose hashes differ in at most this many bits, mirrored and turned too, are copies, of "
        "which one is used; -1: off",
    )
    group_bits: int = IntParameter(
        default=16,
        at_least=-1,
        at_most=64,
        description="images that follow each other by name and whose hashes differ in at most this many bits are one "
        "group (frames, bursts), which is for training or for validation as a whole; -1: off",
    )
    leakage_bits: int = IntParameter(
        default=8,
        at_least=-1,
        at_most=64,
        description="images whose hashes differ from a benchmark image's in at most this many bits, mirrored and "
        "turned too, are left out; -1: off",
    )
    parts: str = ChoiceParameter(
        default="auto",
        choices=("auto", "on", "off"),
        description="leave out crops that show parts of benchmark and validation images, found by local features (10 "
        "ms a crop, once); auto: if there are benchmarks, and not for drawn images",
    )
    duplicate_parts: bool = BoolParameter(
        description="also leave out training crops that show the same as crops of other images, shifted, scaled, "
        "turned or mirrored, found by local features"
    )
    embedder: str = PathParameter(
        default="",
        description="file of a copy detection network (SSCD): ONNX, or TorchScript, which is a program that you trust. "
        "Crops that it finds like benchmark or validation images go out as parts do; empty: none",
    )
    min_similarity: float = FloatParameter(
        default=0.75,
        above=0.0,
        at_most=1.0,
        description="cosine similarity of embeddings from which on two images show the same",
    )
    rules: tuple[str, ...] = StrListParameter(
        default=(),
        description="what the metrics of a crop must be, separated by commas: sharpness >= 1.5, noise <= p95",
    )
    scores: tuple[Path, ...] = PathListParameter(
        default=(),
        description="CSV or parquet files of scores that rules may use, see docs/how-to/select-crops.md",
    )
    max_per_source: int = IntParameter(
        default=0, at_least=0, description="maximum number of training crops of one image; 0: all"
    )
    max_per_group: int = IntParameter(
        default=0,
        at_least=0,
        description="maximum number of training crops of one group of images, such as a scene or a burst; 0: all",
    )
    max_per_dataset: tuple[int, ...] = IntListParameter(
        default=(),
        description="maximum number of training crops of each dataset, in their order: 5000,0; 0 or empty: all",
    )
    weights: tuple[float, ...] = WeightListParameter(
        default=(),
        description="how many training crops the datasets give, in relation to each other: 2,1; empty: all",
    )
    max_train: int = IntParameter(
        default=0, at_least=0, description="maximum number of training crops; 0: all"
    )
    max_validation: int = IntParameter(
        default=256, at_least=0, description="maximum number of validation crops; 0: all"
    )
    seed: int = luigi.IntParameter(default=0, description="seed of the random choice and of the order")
