"""Find source images that are copies of others: scaled, recompressed, mirrored or turned. One of them gives crops."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.perceptual_hash import ORIENTATIONS
from pipeline.selection.crop_table import CropTable
from pipeline.selection.hamming import Hashes, Rows, find_first_within, parse_hashes


class SourceTable(NamedTuple):
    """The source images of crops, in the order in which they are kept: validation first, then the best."""

    names: list[str]
    """Id of each source."""
    hashes: Hashes
    """Perceptual hashes, sources x 8 orientations."""
    of_crop: Rows
    """For each of the crops its source."""
    training: npt.NDArray[np.bool_]
    """Whether each source is for training. Those for validation come first."""
    datasets: Rows
    """The number of each source's dataset."""
    groups: list[str]
    """The group of each source, as its dataset has it."""

    def find_copies(self, bits: int) -> Rows:
        """Return what `find_copies` does of these images; nothing is a copy with -1 bits."""
        if bits < 0:
            return np.full(len(self.names), -1)
        return find_copies(self.hashes, bits, int((~self.training).sum()))

    def first_crops(self, rows: Rows) -> Rows:
        """Return the first of the rows of crops that each source has.

        Args:
            rows: those that the sources were listed from.
        """
        return rows[np.unique(self.of_crop, return_index=True)[1]]


def list_sources(crops: CropTable, rows: Rows) -> SourceTable:
    """List the sources of crops.

    Of two copies that one is kept that is for validation; then the one with more crops, which is the larger image; then
    the one with more detail, which was compressed or upscaled less; then the one named first.

    Args:
        crops: all crops.
        rows: the crops that count.
    """
    ids, hashes = crops.shared("source"), crops.shared("source_phashes")
    # Images of two datasets may have one id.
    code = crops.datasets[rows] * len(ids.values) + ids.rows[rows]
    _, first, of_crop, counts = np.unique(code, return_index=True, return_inverse=True, return_counts=True)
    detail = np.bincount(of_crop, crops.numbers("sharpness")[rows], minlength=len(counts)) / counts
    names = np.array([ids.values[row] for row in ids.rows[rows[first]]])
    order = np.lexsort((code[first], names, -detail, -counts, crops.training[rows[first]]))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    parsed = parse_hashes(hashes.values).reshape(-1, ORIENTATIONS)
    groups, samples = crops.shared("group"), rows[first[order]]
    return SourceTable(
        names[order].tolist(),
        parsed[hashes.rows[samples]],
        place[of_crop],
        crops.training[samples],
        crops.datasets[samples],
        [groups.values[row] for row in groups.rows[samples].tolist()],
    )


def find_copies(hashes: Hashes, bits: int, validation: int = 0) -> Rows:
    """Keep each image that is no copy of one kept before it; return for each other one such image.

    No image for training is kept that is a copy of one for validation, whether that one is kept or not.

    Args:
        hashes: images x 8 orientations, the image to keep first.
        bits: largest number of bits in which the hashes of copies differ, in any orientation.
        validation: how many of the images are for validation: the first ones.

    Returns:
        -1 for each image that is kept, else the index of an image before it.
    """
    held = _keep_first(hashes[:validation], bits)
    if (held < 0).all():
        return _keep_first(hashes, bits)
    near = _find_first(hashes[validation:], np.ascontiguousarray(hashes[:validation, 0]), bits)
    copied = np.concatenate((held, near))
    rest = validation + np.flatnonzero(near < 0)
    among = _keep_first(hashes[rest], bits)
    copied[rest[among >= 0]] = rest[among[among >= 0]]
    return copied


def _keep_first(hashes: Hashes, bits: int) -> Rows:
    """Keep each image that is no copy of one kept before it; return for each other one such image, else -1."""
    upright = np.ascontiguousarray(hashes[:, 0])
    copied = np.full(len(hashes), -1, np.int64)
    undecided = np.arange(len(hashes))
    while len(undecided):
        # An image is within 0 bits of itself, so the first one found is itself or one before it.
        first = undecided[_find_first(hashes[undecided], upright[undecided], bits)]
        is_kept = first == undecided
        kept, rest, first = undecided[is_kept], undecided[~is_kept], first[~is_kept]
        unclear = ~np.isin(first, kept)
        if unclear.any():
            found = _find_first(hashes[rest[unclear]], upright[kept], bits)
            first[unclear] = np.where(found >= 0, kept[found], len(hashes))
        settled = first < rest
        copied[rest[settled]] = first[settled]
        undecided = rest[~settled]
    return copied


def _find_first(hashes: Hashes, targets: Hashes, bits: int) -> Rows:
    """Return for each image the first target that one of its orientations is near to, or -1."""
    found = find_first_within(hashes.ravel(), targets, bits).reshape(hashes.shape)
    missing = np.int64(len(targets))
    first: npt.NDArray[np.int64] = np.where(found >= 0, found, missing).min(axis=1, initial=missing)
    return np.where(first < missing, first, -1)
