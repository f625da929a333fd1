"""The records of a verification: what is damaged in a dataset, and what was rebuilt."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Damage:
    """One damaged or missing file, or one damaged crop, of a finished dataset."""

    shard: str
    """Name of the shard; empty for a file beside the shards."""
    file: str
    """Path relative to the dataset's directory."""
    detail: str
    """What is wrong, as a sentence; names the key of a damaged crop."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """verification.json: the result of the last verification of a dataset."""

    schema: int
    run: str
    """The run that wrote this, so that no run takes the result of another one for its own."""
    level: str
    """A name in pipeline.verify.LEVELS."""
    finished_at: str
    """UTC, ISO 8601."""
    shards: int
    """Number of shards checked."""
    crops: int
    """Number of crops in them, from their headers."""
    damage: tuple[Damage, ...]
    """Damage found before anything was rebuilt."""
    rebuilt: tuple[str, ...]
    """Names of the shards that were rebuilt."""
    remaining: tuple[Damage, ...]
    """Damage after rebuilding."""
