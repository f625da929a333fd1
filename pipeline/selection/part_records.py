"""Write and read which crops show parts of benchmark or validation images: parts.jsonl, and parts.json with totals."""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from data.atomic_files import jsonl_line, read_json, read_jsonl, write_bytes, write_json
from data.hashing import sha256_bytes
from data.record_json import from_plain, to_plain
from data.records import SCHEMA
from data.selection import PartPair
from data.shards import check_file

RECORD, LEAKS = "parts.json", "parts.jsonl"


@dataclasses.dataclass(frozen=True)
class ShownPart:
    """A crop that shows a part of an image: a line of parts.jsonl."""

    dataset: int
    """Number of the crop's dataset, from 0."""
    key: str
    """Of the crop."""
    source: str
    """Id of the crop's source image."""
    benchmark: bool
    """Whether the image is of a benchmark; otherwise it is one of validation."""
    target: str
    """benchmark/image, or the id of the validation image."""
    like_dataset: int
    """Number of the dataset of the crop `like`; -1 for a benchmark."""
    like: str
    """Key of the validation crop that shows the most of the same; empty for a benchmark."""
    inliers: int
    """How many features match and agree on one place."""
    by: str
    """Key of the crop of the same source image that they are in; empty if it is this crop."""
    similarity: float = 0.0
    """Cosine similarity of the embeddings, where these and not features show it (`inliers` is 0); otherwise 0."""


@dataclasses.dataclass(frozen=True)
class PartsRecord:
    """parts.json: how many crops were compared with what, and how many show parts."""

    schema: int
    totals: dict[str, int]
    """crops (compared), too_plain (crops with too little texture to compare), benchmark_images, validation_images,
    features (of these images), shows_benchmark and shows_validation (crops)."""
    leaks_sha256: str
    """Of parts.jsonl."""


def add_parts(parts: Sequence[ShownPart], others: Sequence[ShownPart]) -> list[ShownPart]:
    """Return parts, and those of others that are of crops which these have nothing about, in one order."""
    known = {(one.dataset, one.key, one.benchmark) for one in parts}
    added = [one for one in others if (one.dataset, one.key, one.benchmark) not in known]
    return sorted([*parts, *added], key=lambda one: (one.dataset, one.key, not one.benchmark))


def write_parts(out_dir: Path, parts: Sequence[ShownPart], totals: dict[str, int]) -> None:
    """Write parts.jsonl, and parts.json last.

    Args:
        out_dir: directory to write to.
        parts: the crops that show parts.
        totals: of what was compared.
    """
    content = b"".join(jsonl_line(to_plain(one)) for one in parts)
    write_bytes(out_dir / LEAKS, content)
    shown = {
        "shows_benchmark": sum(one.benchmark for one in parts),
        "shows_validation": sum(not one.benchmark for one in parts),
    }
    write_json(out_dir / RECORD, to_plain(PartsRecord(SCHEMA, totals | shown, sha256_bytes(content))))


def read_parts_record(directory: Path) -> PartsRecord:
    """Return the content of parts.json."""
    return from_plain(PartsRecord, read_json(directory / RECORD), str(directory / RECORD))


def read_parts(directory: Path) -> list[ShownPart]:
    """Return the content of parts.jsonl.

    Raises:
        UserError: it is missing or differs from its record.
    """
    check_file(directory / LEAKS, read_parts_record(directory).leaks_sha256)
    return [from_plain(ShownPart, line, str(directory / LEAKS)) for line in read_jsonl(directory / LEAKS)]


def pair_parts(parts: Sequence[ShownPart]) -> tuple[PartPair, ...]:
    """Return the pairs of source and target images, those with the most inliers first.

    Args:
        parts: the crops that show parts.
    """
    crops = collections.Counter((one.dataset, one.source, one.benchmark, one.target) for one in parts)
    inliers: dict[tuple[int, str, bool, str], int] = {}
    for one in parts:
        pair = (one.dataset, one.source, one.benchmark, one.target)
        inliers[pair] = max(inliers.get(pair, 0), one.inliers)
    order = sorted(crops, key=lambda pair: (-inliers[pair], pair))
    return tuple(PartPair(*pair, crops[pair], inliers[pair]) for pair in order)
