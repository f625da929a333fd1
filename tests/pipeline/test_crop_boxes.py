from collections import Counter

import numpy as np
import pytest

from data.hashing import generator
from pipeline.crop_boxes import place_grid_boxes, place_random_boxes


@pytest.mark.parametrize(
    ("height", "width"), [(512, 512), (513, 2040), (1356, 2040), (100, 5000), (4096, 4095)]
)
def test_boxes_lie_inside_the_image_do_not_overlap_and_are_as_many_as_fit(height, width):
    for seed in range(50):
        boxes = place_random_boxes(height, width, 512, generator(seed))
        assert len(boxes) == (height // 512) * (width // 512)
        for number, one in enumerate(boxes):
            assert 0 <= one.top <= height - 512 and 0 <= one.left <= width - 512
            for other in boxes[:number]:
                assert abs(one.top - other.top) >= 512 or abs(one.left - other.left) >= 512


def test_equal_seeds_give_equal_boxes_and_other_seeds_do_not():
    assert place_random_boxes(900, 1200, 256, generator(1)) == place_random_boxes(
        900, 1200, 256, generator(1)
    )
    assert place_random_boxes(900, 1200, 256, generator(1)) != place_random_boxes(
        900, 1200, 256, generator(2)
    )


def test_the_first_box_of_two_is_uniform_over_all_placements():
    stream = generator("uniform")
    tops = Counter(place_random_boxes(10, 10, 4, stream)[0].top for _ in range(7000))
    # Two intervals of 4 in 10: starts of the first over the 6 ways to share 2 free pixels: 3, 2 and 1 of 6.
    expected = np.array([3, 2, 1]) / 6 * 7000
    # The first box lies in the first strip and at the first place of it, along either side.
    found = np.array([tops[place] for place in range(3)])
    assert sum(tops.values()) == found.sum()
    assert ((found - expected) ** 2 / expected).sum() < 13.8, "chi-square, 2 degrees of freedom, p = 0.001"


def test_a_single_box_is_uniform():
    stream = generator("single")
    lefts = Counter(place_random_boxes(4, 13 - 6, 4, stream)[0].left for _ in range(4000))
    assert set(lefts) == {0, 1, 2, 3}
    assert sum((count - 1000) ** 2 / 1000 for count in lefts.values()) < 16.3, (
        "3 degrees of freedom, p = 0.001"
    )


def basicsr_starts(length: int, size: int, step: int, thresh: int) -> list[int]:
    """Return the starts of crops along one side, as BasicSR's extract_subimages computes them."""
    space = np.arange(0, length - size + 1, step)
    if length - (space[-1] + size) > thresh:
        space = np.append(space, length - size)
    return space.tolist()


@pytest.mark.parametrize(("size", "step", "rest"), [(480, 240, 0), (512, 512, 100), (64, 64, 0)])
def test_the_grid_equals_the_grid_of_basicsr(size, step, rest):
    for height, width in ((1356, 2040), (512, 513), (600, 1111)):
        expected = [
            (top, left)
            for top in basicsr_starts(height, size, step, rest)
            for left in basicsr_starts(width, size, step, rest)
        ]
        assert [(box.top, box.left) for box in place_grid_boxes(height, width, size, step, rest)] == expected
    assert place_grid_boxes(size - 1, 2000, size, step, rest) == []


def place_by_trial(height: int, width: int, size: int, tries: int, seed: int) -> int:
    """Return how many boxes are placed by `tries` random tries. Tries that overlap a placed box are removed at once."""
    stream = np.random.default_rng(seed)
    tops = stream.integers(0, height - size + 1, tries)
    lefts = stream.integers(0, width - size + 1, tries)
    placed = 0
    while tops.size:
        placed += 1
        free = (np.abs(tops - tops[0]) >= size) | (np.abs(lefts - lefts[0]) >= size)
        tops, lefts = tops[free], lefts[free]
    return placed


def test_ten_thousand_plans_have_no_overlap_and_no_box_outside():
    stream = np.random.default_rng(0)
    for number in range(10_000):
        height, width = (int(side) for side in stream.integers(512, 4097, 2))
        boxes = place_random_boxes(height, width, 512, generator(number))
        tops, lefts = np.array([box.top for box in boxes]), np.array([box.left for box in boxes])
        assert tops.min() >= 0 and lefts.min() >= 0
        assert tops.max() <= height - 512 and lefts.max() <= width - 512
        apart = (np.abs(tops[:, None] - tops) >= 512) | (np.abs(lefts[:, None] - lefts) >= 512)
        assert apart.sum() == len(boxes) * (len(boxes) - 1), "no box overlaps another"


def test_more_boxes_are_placed_than_by_ten_thousand_tries():
    sizes = np.random.default_rng(1).integers(512, 4097, (200, 2)).tolist()
    ours = [len(place_random_boxes(height, width, 512, generator(height, width))) for height, width in sizes]
    tried = [place_by_trial(height, width, 512, 10_000, seed) for seed, (height, width) in enumerate(sizes)]
    assert sum(ours) > 1.2 * sum(tried)
    assert all(one >= other for one, other in zip(ours, tried, strict=True))


def test_positions_are_uniform_in_both_directions():
    bins, draws = 4, 8000
    counts = np.zeros((bins, bins))
    for number in range(draws):
        (box,) = place_random_boxes(512 + 199, 512 + 399, 512, generator("chi", number))
        counts[box.top * bins // 200, box.left * bins // 400] += 1
    expected = draws / bins**2
    assert ((counts - expected) ** 2 / expected).sum() < 37.7, "chi-square, 15 degrees of freedom, p = 0.001"
