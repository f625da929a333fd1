"""Find crops of different images that show the same, shifted, scaled, turned or mirrored, by their local features.

Whole images that are copies, and crops that look nearly the same, are found by hashes; this finds the rest. The
features of all crops are sorted by their bits, so time and memory grow in proportion to their number.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.atomic_files import jsonl_line, read_json, read_jsonl, write_bytes, write_json
from data.hashing import sha256_bytes
from data.progress import Progress, silent
from data.record_json import from_plain, to_plain
from data.records import SCHEMA
from data.shards import check_file
from pipeline.dataset import read_manifest
from pipeline.parts.features import FEATURE, StoredFeatures, restore_features
from pipeline.parts.lookup import MAX_DIFFERING_BITS, FeatureIndex
from pipeline.parts.match import ENOUGH_INLIERS, FEWEST_INLIERS, match_crops
from pipeline.parts.signs import HALF, SIGN_BITS
from pipeline.selection.crop_table import CropTable, check_same_format, read_crop_table
from pipeline.selection.part_matches import DescribedDataset, ShardFeatures
from pipeline.selection.part_targets import source_numbers

RECORD, PAIRS = "duplicates.json", "duplicates.jsonl"
MIN_OVERLAP = 0.5
"""A crop is a duplicate if at least so much of it lies in another."""
_LOOKED_AT = 32
"""Features of a crop that are looked up, of 64: the strongest."""
_FEWEST_HITS = 2
"""Features that two crops must share in a band to be compared."""
_MIN_BAND_BITS, _MAX_BAND_BITS = 16, 28
_GRID = 8
Rows = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """A crop that shows the same as another: a line of duplicates.jsonl."""

    dataset: int
    """Number of the crop's dataset, from 0."""
    key: str
    like_dataset: int
    """Dataset and key of the other crop, which comes before this one."""
    like: str
    inliers: int
    """How many features match and agree on one place."""
    overlap: float
    """Fraction of this crop that lies in the other, 0.5 to 1."""


class _Same(NamedTuple):
    """A crop, and the first crop that it shows the same as."""

    row: int
    like: int
    inliers: int
    overlap: float


def find_duplicates(
    datasets: Sequence[DescribedDataset], out_dir: Path, *, progress: Progress = silent
) -> None:
    """Compare the training crops of datasets with each other, and write duplicates.jsonl and duplicates.json.

    Crops of one source image are not compared: they are where the plan wants them.

    Args:
        datasets: the crop datasets; those without features are not compared.
        out_dir: directory to write to.
        progress: called with the number of pairs that are looked at.
    """
    directories = [one.crops for one in datasets]
    manifests = [read_manifest(directory) for directory in directories]
    check_same_format(manifests)
    crops = read_crop_table(directories, manifests, ["sharpness"], ["offset"])
    features = ShardFeatures(crops, datasets)
    rows, stored = _gather(features, crops.training)
    pairs = propose_pairs(stored, source_numbers(crops)[rows])
    same = confirm_pairs(pairs, stored, manifests[0].crop_size_px, progress)
    found = _name(same, rows, crops)
    content = b"".join(jsonl_line(to_plain(one)) for one in found)
    write_bytes(out_dir / PAIRS, content)
    totals = {"crops": len(rows), "pairs": len(pairs), "duplicates": len(found)}
    write_json(out_dir / RECORD, {"schema": SCHEMA, "totals": totals, "pairs_sha256": sha256_bytes(content)})


def read_duplicates(directory: Path) -> list[Duplicate]:
    """Return the content of duplicates.jsonl.

    Raises:
        UserError: it is missing or differs from its record.
    """
    check_file(directory / PAIRS, read_json(directory / RECORD)["pairs_sha256"])
    return [from_plain(Duplicate, line, str(directory / PAIRS)) for line in read_jsonl(directory / PAIRS)]


def _gather(features: ShardFeatures, wanted: npt.NDArray[np.bool_]) -> tuple[Rows, StoredFeatures]:
    """Return the rows of the wanted crops that have features, ascending, and these: crops x features."""
    rows = features.rows()
    rows = np.sort(rows[wanted[rows]])
    found = np.zeros((0, 0), FEATURE)
    for place in features.shards():
        for row, stored in features.read(place):
            if wanted[row]:
                if not len(found):
                    found = np.zeros((len(rows), len(stored)), FEATURE)
                found[np.searchsorted(rows, row)] = stored
    return rows, found


def propose_pairs(stored: StoredFeatures, sources: Rows) -> Rows:
    """Return pairs of crops that share bits of several features: n x 2, the earlier crop first, in ascending order.

    Of the crops that share the bits of one feature only neighbors become pairs, so many crops of one thing give as many
    pairs, and not the square of that.

    Args:
        stored: crops x features, see `pipeline.parts.features`.
        sources: for each crop the number of its source image; no pair is of one image.
    """
    looked_at = stored[:, :_LOOKED_AT]
    crop = np.broadcast_to(np.arange(len(stored), dtype=np.uint64)[:, None], looked_at.shape)
    present = (looked_at["place"] >> 20) & 63 > 0
    crop, signs = crop[present], looked_at["signs"][present]
    width = int(np.clip(len(crop).bit_length() + 3, _MIN_BAND_BITS, _MAX_BAND_BITS))
    hits: list[npt.NDArray[np.uint64]] = []
    for word in (0, 1):
        for start in range(0, HALF - width + 1, width):
            band = signs[:, word] >> np.uint64(start) & np.uint64((1 << width) - 1)
            ordered = np.sort(band << np.uint64(32) | crop)
            alike = np.flatnonzero(ordered[1:] >> np.uint64(32) == ordered[:-1] >> np.uint64(32))
            one, other = (ordered[place] & np.uint64(0xFFFFFFFF) for place in (alike, alike + 1))
            apart = sources[one.astype(np.int64)] != sources[other.astype(np.int64)]
            hits.append(one[apart] << np.uint64(32) | other[apart])
    pairs, counts = np.unique(np.concatenate(hits), return_counts=True)
    kept = pairs[counts >= _FEWEST_HITS]
    return np.column_stack((kept >> np.uint64(32), kept & np.uint64(0xFFFFFFFF))).astype(np.int64)


def confirm_pairs(
    pairs: Rows, stored: StoredFeatures, side_px: int, progress: Progress = silent
) -> list[_Same]:
    """Return the crops that show the same as an earlier one, each with the first of its kind.

    A crop is compared with the crop that stands for the other's kind, and not with the other: so a slow pan is not one
    kind from end to end.

    Args:
        pairs: as `propose_pairs` returns them.
        stored: crops x features.
        side_px: side of the crops.
        progress: called with the number of pairs.
    """
    order = np.lexsort((pairs[:, 0], pairs[:, 1]))
    first: dict[int, int] = {}
    found: dict[int, _Same] = {}
    tried: set[tuple[int, int]] = set()
    for count, (one, other) in enumerate(pairs[order].tolist(), 1):
        stands_for = first.get(one, one)
        if other not in found and (stands_for, other) not in tried:
            tried.add((stands_for, other))
            same = _compare(stands_for, other, stored, side_px)
            if same:
                first[other], found[other] = stands_for, same
        progress(count, len(pairs))
    return [found[row] for row in sorted(found)]


def _compare(one: int, other: int, stored: StoredFeatures, side_px: int) -> _Same | None:
    """Return whether a crop shows the same as another."""
    if not _may_match(stored[one]["signs"], stored[other]["signs"]):
        return None
    target, query = (restore_features(stored[row], side_px) for row in (one, other))
    for match in match_crops([query], side_px, FeatureIndex([target])):
        if match.inliers >= ENOUGH_INLIERS:
            overlap = _overlap(match.similarity.apply(_grid(side_px)), side_px)
            if overlap >= MIN_OVERLAP:
                return _Same(other, one, match.inliers, overlap)
    return None


def _may_match(one: npt.NDArray[np.uint64], other: npt.NDArray[np.uint64]) -> bool:
    """Return whether enough features of two crops are alike, upright or mirrored, wherever they are."""
    apart = np.bitwise_count(one[:, None] ^ other[None, :]).astype(np.int16)
    upright, mirrored = apart[..., 0] + apart[..., 1], apart[..., 0] + SIGN_BITS // 2 - apart[..., 1]
    return any(
        int((distances.min(axis=0) <= MAX_DIFFERING_BITS).sum()) >= FEWEST_INLIERS
        for distances in (upright, mirrored)
    )


def _grid(side_px: int) -> npt.NDArray[np.complex128]:
    centers = (np.arange(_GRID) + 0.5) * (side_px / _GRID)
    return (centers[None, :] + 1j * centers[:, None]).ravel()


def _overlap(points: npt.NDArray[np.complex128], side_px: int) -> float:
    inside = (points.real >= 0) & (points.imag >= 0) & (points.real < side_px) & (points.imag < side_px)
    return round(float(inside.mean()), 3)


def _name(same: Sequence[_Same], rows: Rows, crops: CropTable) -> list[Duplicate]:
    """Return duplicates with names instead of rows."""
    ours = rows[[one.row for one in same]] if same else np.zeros(0, np.int64)
    theirs = rows[[one.like for one in same]] if same else np.zeros(0, np.int64)
    names = zip(same, ours, crops.texts("key", ours), theirs, crops.texts("key", theirs), strict=True)
    return [
        Duplicate(int(crops.datasets[row]), key, int(crops.datasets[like]), other, one.inliers, one.overlap)
        for one, row, key, like, other in names
    ]
