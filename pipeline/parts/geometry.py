"""Find the similarity (scale, rotation, shift) that most matches of two images agree on.

Points are complex numbers x + iy, so a similarity is p → factor · p + shift. All pairs of matches are tried, so nothing
is left to chance.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Complex = npt.NDArray[np.complex128]
Floats = npt.NDArray[np.float64]

_TOLERANCE = 0.02
"""How far an inlier may lie from its place, in sides of the crop."""
_MIN_DISTANCE = 0.06
"""Of the two matches that fix a similarity, in sides of the crop: nearer ones fix it poorly."""
_MAX_OCTAVES_APART, _MAX_ANGLE_APART = 0.7, np.deg2rad(30)
"""How far the sizes and angles of matched features may be from the similarity."""
_LEAST_COSINE = np.cos(_MAX_ANGLE_APART)
_DISTINCT = 1 / 64
"""Inliers nearer to each other than this count once, in sides of the crop."""
_MOST = 64
"""Matches of two images that are looked at, the most alike ones."""
_REFINEMENTS = 3


class Similarity(NamedTuple):
    """What maps the pixels of a crop to those of the image that it shows a part of."""

    factor: complex
    """Scale and rotation."""
    shift: complex
    """Where the crop's upper left corner goes."""
    mirrored: bool
    """Whether the crop is first mirrored left to right."""
    side_px: int
    """Of the crop."""

    def apply(self, points: Complex) -> Complex:
        """Return where points of the crop are in the image."""
        return self.factor * self._mirror(points) + self.shift

    def invert(self, points: Complex) -> Complex:
        """Return where points of the image are in the crop."""
        return self._mirror((points - self.shift) / self.factor)

    def _mirror(self, points: Complex) -> Complex:
        return self.side_px - points.conj() if self.mirrored else points


class Pairs(NamedTuple):
    """Matched features of a crop and an image."""

    queries: Complex
    """Places in the crop, mirrored if the match is."""
    targets: Complex
    """Places in the image."""
    octaves: Floats
    """Size of the feature in the image over that in the crop, as a logarithm to base 2."""
    angles: Floats
    """Angle of the feature in the image minus that in the crop."""

    def take(self, rows: "slice | npt.NDArray[np.int64]") -> "Pairs":
        """Return some of the matches."""
        return Pairs(self.queries[rows], self.targets[rows], self.octaves[rows], self.angles[rows])


def fit_similarity(pairs: Pairs, side_px: int, fewest: int) -> tuple[complex, complex, int] | None:
    """Return factor and shift of the similarity with the most inliers, and their number; None if there are too few.

    Args:
        pairs: the most alike first.
        side_px: side of the crop.
        fewest: inliers that are enough.
    """
    pairs = pairs.take(slice(_MOST))
    factors, shifts = _propose(pairs, side_px)
    if not len(factors):
        return None
    tolerance = _TOLERANCE * side_px
    inliers = _lie_near(pairs, factors[:, None], shifts[:, None], tolerance) & _is_like(
        pairs, factors[:, None]
    )
    best = int(np.argmax(inliers.sum(axis=1)))
    inside, factor, shift = inliers[best], factors[best], shifts[best]
    for _ in range(_REFINEMENTS):
        if inside.sum() < fewest:
            return None
        factor, shift = _fit(pairs.queries[inside], pairs.targets[inside])
        if not abs(factor):
            return None
        fitted = np.asarray(factor), np.asarray(shift)
        inside = _lie_near(pairs, *fitted, tolerance) & _is_like(pairs, fitted[0])
    count = _count_distinct(pairs.queries[inside], pairs.targets[inside] / abs(factor), side_px)
    return (complex(factor), complex(shift), count) if count >= fewest else None


def _propose(pairs: Pairs, side_px: int) -> tuple[Complex, Complex]:
    """Return the similarities that two matches fix and agree with."""
    one, two = np.triu_indices(len(pairs.queries), 1)
    apart = pairs.queries[two] - pairs.queries[one]
    wide = np.abs(apart) >= _MIN_DISTANCE * side_px
    one, two, apart = one[wide], two[wide], apart[wide]
    factors = (pairs.targets[two] - pairs.targets[one]) / apart
    real = np.abs(factors) > 0
    one, two, factors = one[real], two[real], factors[real]
    agree = _is_like(pairs.take(one), factors) & _is_like(pairs.take(two), factors)
    one, factors = one[agree], factors[agree]
    return factors, pairs.targets[one] - factors * pairs.queries[one]


def _lie_near(pairs: Pairs, factors: Complex, shifts: Complex, tolerance_px: float) -> npt.NDArray[np.bool_]:
    """Return whether similarities map matches near to each other; the distance is that in the crop."""
    x, y = pairs.queries.real, pairs.queries.imag
    # In real numbers, and squared: the absolute value of a complex number takes ten times as long.
    across = factors.real * x - factors.imag * y + (shifts.real - pairs.targets.real)
    down = factors.imag * x + factors.real * y + (shifts.imag - pairs.targets.imag)
    near: npt.NDArray[np.bool_] = across**2 + down**2 <= tolerance_px**2 * _square(factors)
    return near


def _is_like(pairs: Pairs, factors: Complex) -> npt.NDArray[np.bool_]:
    """Return whether the sizes and angles of matched features agree with similarities."""
    squares = _square(factors)
    scaled = np.abs(np.log2(squares) / 2 - pairs.octaves)
    # The cosine of the angle between both, times the length of the factor: an angle itself takes ten times as long.
    along = np.cos(pairs.angles) * factors.real + np.sin(pairs.angles) * factors.imag
    agree: npt.NDArray[np.bool_] = (scaled <= _MAX_OCTAVES_APART) & (
        along >= _LEAST_COSINE * np.sqrt(squares)
    )
    return agree


def _square(numbers: Complex) -> Floats:
    """Return the square of the absolute value."""
    squares: Floats = numbers.real**2 + numbers.imag**2
    return squares


def _fit(queries: Complex, targets: Complex) -> tuple[complex, complex]:
    """Return the similarity with the least squared distances."""
    center, goal = queries.mean(), targets.mean()
    spread = np.square(np.abs(queries - center)).sum()
    factor = ((targets - goal) * (queries - center).conj()).sum() / spread if spread else 0j
    return factor, goal - factor * center


def _count_distinct(queries: Complex, targets: Complex, side_px: int) -> int:
    """Return how many places the inliers have, in the crop or in the image, whichever are fewer."""
    cell = _DISTINCT * side_px
    counts = []
    for points in (queries, targets):
        cells = np.floor(np.column_stack((points.real, points.imag)) / cell)
        counts.append(len(np.unique(cells, axis=0)))
    return min(counts)
