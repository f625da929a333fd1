"""Procedural images with the statistics of photographs: opaque leaves of all sizes that occlude each other.

An image depends on its random generator alone: the same bytes on any machine. For this, pixels are computed in integers
only, and the floats of a leaf's outline are rounded to a sixteenth of a pixel at once. No files are read or written.

Source: Lee, Mumford, Huang, "Occlusion models for natural images", 2001: occluding shapes whose radii have
density r^-3 give the scale-invariant statistics of natural images. Texture, stripes, shading and the
camera's blur and noise are additions of this project.
"""

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Uint8 = npt.NDArray[np.uint8]
Uint32 = npt.NDArray[np.uint32]

SUPERSAMPLING = 2
"""Leaves are drawn larger by this factor and averaged down, as a camera's pixels average the light."""

RADIUS_MIN_PX = 1.2
RADIUS_MAX_PX = 400.0
COVERAGE = 2.5
"""Average number of leaves over each pixel; less than exp(-COVERAGE) of the image shows the background."""

VERTICES = 24
"""Corners of a round leaf's outline; a multiple of 4."""
SUBPIXEL_BITS = 4
"""Outlines are rounded to 1/16 of a supersampled pixel."""

DIRECTIONS = 256
_ANGLES = 2 * np.pi / DIRECTIONS * np.arange(DIRECTIONS)
# Rounded to integers, so that the last bit of a cosine on another machine does not matter.
COMPASS = np.rint(16384 * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)).astype(np.int64)
"""int [256,2]: 16384 times (cosine, sine) of the directions."""

FIELD_CELLS_PX = ((512, 256, 128), (64, 32, 16, 8), (8, 4, 2, 1))
"""Cell sizes, by octave, of the three noise fields: shading, blotches, grain. Each leaf shows them to some degree."""
FIELD_STRENGTHS = (60, 60, 200, 120)
"""Strength of the noise fields and of the stripes; 128 changes the strongest leaf by about half its brightness."""
FIELD_CHANCES = (1.0, 0.8, 0.7, 0.25)
"""Share of the leaves that show each field at all."""


def dead_leaves(generator: Generator, height: int, width: int) -> Uint8:
    """Draw one image.

    Args:
        generator: source of every random choice, in a fixed order.
        height: in pixels, at least 1.
        width: in pixels, at least 1.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    leaf_of, leaves = _arrange(generator, height, width)
    # Looked up at the supersampled size, then averaged, so that texture is antialiased like color.
    colors = _average(_colors(generator, leaves)[leaf_of], height, width)
    weights = _average(_weights(generator, leaves)[leaf_of], height, width)
    image = _shade(colors[..., :3], weights, _fields(generator, height, width))
    return _add_camera(generator, image)


def _arrange(generator: Generator, height: int, width: int) -> tuple[Int32, int]:
    """Place the leaves; return the number of the top leaf, int32 [S·height, S·width] (0: background), and the count."""
    size = SUPERSAMPLING * np.array([width, height])
    outlines = _outlines(generator, size)
    leaf_of: Int32 = np.zeros((size[1], size[0]), np.int32)
    for number, outline in enumerate(outlines, start=1):
        cv2.fillConvexPoly(leaf_of, outline, number, cv2.LINE_8, SUBPIXEL_BITS)
    return leaf_of, len(outlines) + 1


def _outlines(generator: Generator, size: Int64) -> Int32:
    """Draw discs, ellipses and bars, lowest first: int32 [leaves, VERTICES, 2], x and y in 1/16 supersampled pixels."""
    smallest, largest = SUPERSAMPLING * RADIUS_MIN_PX, SUPERSAMPLING * RADIUS_MAX_PX
    mean_area = 2 * np.pi * smallest**2 * np.log(largest / smallest)
    count = int(np.ceil(COVERAGE * size.prod() / mean_area))
    # Density r^-3 between the two radii: r^-2 is uniform.
    radius = 1 / np.sqrt(largest**-2 + generator.random(count) * (smallest**-2 - largest**-2))
    kind = generator.integers(0, 10, count)  # four of ten are discs, three ellipses, three bars
    stretch = 1 + generator.random(count) * np.select([kind < 4, kind < 7], [0, 3], 12)
    half = radius[:, None] * np.sqrt(
        np.stack([stretch, 1 / stretch], axis=1)
    )  # [leaves, 2]; the area is kept
    round_ = COMPASS[:: DIRECTIONS // VERTICES][:VERTICES] / 16384
    square = np.repeat([(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)], VERTICES // 4, axis=0)
    points = np.where((kind < 7)[:, None, None], round_, square) * half[:, None]
    cosine, sine = (COMPASS[generator.integers(0, DIRECTIONS, count)] / 16384).T[..., None]
    x, y = points[..., 0], points[..., 1]
    turned = np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=-1)
    placed = turned + (generator.random((count, 2)) * size)[:, None]
    outlines: Int32 = np.rint(placed * (1 << SUBPIXEL_BITS)).astype(np.int32)
    return outlines


def _colors(generator: Generator, leaves: int) -> Uint32:
    """Draw a color for each leaf, packed: uint32 [leaves], bytes red, green, blue and 0.

    All brightness levels occur, dark ones more often. Hues are mostly weak, and more blue-yellow than red-green. Each
    image has its own color strength and color cast, like a light source.
    """
    level = generator.integers(0, 256, leaves)
    darkened = level * generator.integers(128, 256, leaves) // 256
    strength = generator.integers(16, 256)
    cast = generator.integers(-24, 25, 3)
    blue_yellow = _peaked(generator, leaves, 160) * strength // 256
    red_green = _peaked(generator, leaves, 110) * strength // 256
    red = darkened + blue_yellow // 2 + red_green
    green = darkened + blue_yellow // 4 - red_green // 2
    blue = darkened - blue_yellow
    colors = np.stack([red, green, blue], axis=1) + cast
    return _pack(np.concatenate([colors, np.zeros((leaves, 1), np.int64)], axis=1))


def _peaked(generator: Generator, count: int, largest: int) -> Int64:
    """Draw integers from -largest to largest, most of them near 0: int64 [count]."""
    return generator.integers(-largest, largest + 1, count) * generator.integers(0, 257, count) // 256


def _weights(generator: Generator, leaves: int) -> Uint32:
    """Draw how much each leaf shows of the four fields, packed: uint32 [leaves], four bytes around 128."""
    weights = np.stack([_peaked(generator, leaves, 127) for _ in FIELD_CHANCES], axis=1)
    shown = generator.random((leaves, len(FIELD_CHANCES))) < FIELD_CHANCES
    return _pack(128 + np.where(shown, weights, 0))


def _pack(channels: Int64) -> Uint32:
    """Clamp [n, 4] to bytes and view each row as one uint32 [n], so that one lookup moves all four."""
    return np.ascontiguousarray(channels.clip(0, 255).astype(np.uint8)).view(np.uint32)[:, 0]


def _average(packed: Uint32, height: int, width: int) -> Uint8:
    """Average the supersampled pixels: packed uint32 [S·height, S·width] to uint8 [height, width, 4]."""
    supersampled = packed.view(np.uint8).reshape(*packed.shape, 4)
    return np.asarray(cv2.resize(supersampled, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _fields(generator: Generator, height: int, width: int) -> list[Int32]:
    """Draw the three noise fields and the stripes, int32 [height, width] around 0, a few hundred at most."""
    noise = [_noise(generator, height, width, cells) for cells in FIELD_CELLS_PX]
    # Stripes 3 to 15 pixels apart, slightly bent by the blotches: a triangle wave of the phase.
    x_step, y_step = COMPASS[generator.integers(0, DIRECTIONS)] * 256 // generator.integers(3 * 64, 15 * 64)
    phase = (np.arange(height)[:, None] * y_step + np.arange(width) * x_step) // 256
    triangle = np.abs((phase + noise[1] // 4) % 256 - 128) * 2 - 128
    return [*noise, triangle.astype(np.int32)]


def _noise(generator: Generator, height: int, width: int, cells_px: tuple[int, ...]) -> Int32:
    """Draw the sum of one octave of noise per cell size: int32 [height, width], each octave from -128 to 127."""
    total: Int32 = np.zeros((height, width), np.int32)
    for cell in cells_px:
        rows, columns = height // cell + 2, width // cell + 2
        coarse = generator.integers(0, 256, (rows, columns), dtype=np.uint8)
        top, left = generator.integers(0, cell, 2)
        fine = cv2.resize(coarse, (columns * cell, rows * cell), interpolation=cv2.INTER_LINEAR_EXACT)
        total += fine[top : top + height, left : left + width].astype(np.int32) - 128
    return total


def _shade(colors: Uint8, weights: Uint8, fields: list[Int32]) -> Uint8:
    """Add the fields to the colors, by each leaf's weights and brightness: uint8 [height, width, 3]."""
    relief = np.zeros(weights.shape[:2], np.int32)
    for index, (field, strength) in enumerate(zip(fields, FIELD_STRENGTHS, strict=True)):
        relief += (weights[..., index].astype(np.int32) - 128) * field * strength >> 8
    shaded = colors + ((colors.astype(np.int32) + 64) * relief[..., None] >> 14)
    return np.asarray(shaded.clip(0, 255), np.uint8)


def _add_camera(generator: Generator, image: Uint8) -> Uint8:
    """Add a little of a camera's blur and noise; one image in four is less sharp."""
    is_soft = generator.integers(0, 4) == 0
    sigma_px = generator.integers(60, 140) / 100 if is_soft else generator.integers(25, 70) / 100
    blurred = cv2.GaussianBlur(image, (7, 7), sigma_px)
    strength = generator.integers(0, 4)
    noise = (
        generator.integers(-64, 64, (2, *image.shape), dtype=np.int16).sum(axis=0, dtype=np.int16) * strength
    )
    return np.asarray((blurred + (noise >> 7)).clip(0, 255), np.uint8)
