import numpy as np
from images import textured

from pipeline.perceptual_hash import ORIENTATIONS, hash_orientations
from pipeline.selection.copies import SourceTable
from pipeline.selection.groups import Side, choose_sides, find_groups, natural_key
from pipeline.selection.hamming import parse_hashes


def table(images, names, datasets=None, groups=None):
    hashes = parse_hashes([hash_orientations(np.ascontiguousarray(one)) for one in images])
    rows = np.arange(len(images))
    return SourceTable(
        names,
        hashes.reshape(-1, ORIENTATIONS),
        rows,
        np.ones(len(images), bool),
        np.array(datasets or [0] * len(images)),
        groups or names,
    )


def pan(seed, frames):
    """Return frames that each show what lies 4 pixels to the right of the one before."""
    scene = textured(seed, 200, 320 + 4 * frames)
    return [scene[:, 4 * number : 4 * number + 320] for number in range(frames)]


def no_copies(sources):
    return np.full(len(sources.names), -1)


def test_frames_of_a_pan_are_one_group_and_other_images_are_alone():
    images = [*pan(1, 30), *pan(2, 30), textured(3, 200, 320), textured(4, 200, 320)]
    names = [f"shots/a{number}.png" for number in range(30)] + [
        f"shots/b{number}.png" for number in range(30)
    ]
    sources = table(images, [*names, "shots/c1.png", "shots/c2.png"])
    assert find_groups(sources, no_copies(sources), 16).tolist() == [0] * 30 + [30] * 30 + [60, 61]
    assert find_groups(sources, no_copies(sources), -1).tolist() == list(range(62))


def test_frames_are_joined_over_some_that_are_missing_or_unlike():
    frames, other = pan(1, 12), textured(9, 200, 320)
    kept = [frames[0], other, frames[4], frames[8]]
    sources = table(kept, [f"{number:02}.jpg" for number in (0, 1, 4, 8)])
    assert find_groups(sources, no_copies(sources), 16).tolist() == [0, 1, 0, 0]


def test_likeness_without_neighborhood_joins_nothing():
    first, second = pan(1, 2)
    far = [f"{number}.png" for number in range(7)]
    images = [first, *(textured(number, 200, 320) for number in range(20, 25)), second]
    for sources in (
        table([first, second], ["a/1.png", "b/2.png"]),
        table([first, second], ["1.png", "2.png"], datasets=[0, 1]),
        table(images, far),
    ):
        assert find_groups(sources, no_copies(sources), 16).tolist() == list(range(len(sources.names)))


def test_groups_that_a_dataset_has_stay_as_they_are():
    images, names = pan(1, 6), [f"{number}.png" for number in range(6)]
    scenes = ["scene-0", "scene-0", "scene-1", "scene-1", "4.png", "5.png"]
    sources = table(images, names, groups=scenes)
    assert find_groups(sources, no_copies(sources), 16).tolist() == [0, 0, 2, 2, 4, 4]
    both = table(images[:2], ["x", "x"], datasets=[0, 1], groups=["x", "x"])
    assert find_groups(both, no_copies(both), 16).tolist() == [0, 1]


def test_a_copy_belongs_to_the_group_of_its_original():
    images = [*pan(1, 4), textured(3, 200, 320)]
    sources = table(images, ["1.png", "2.png", "3.png", "4.png", "x/copy.png"])
    assert find_groups(sources, np.array([-1, -1, -1, -1, 2]), 16).tolist() == [0, 0, 0, 0, 0]


def test_names_sort_as_people_number_them():
    names = [
        "b/1.png",
        "a/img10.png",
        "a/img9.png",
        "a/img0010.png",
        "a/img.png",
        "a/x٣.png",
        "a/" + "1" * 5000,
    ]
    files = ["1" * 5000, "img.png", "img9.png", "img0010.png", "img10.png", "x٣.png"]
    assert sorted(names, key=natural_key) == [*(f"a/{file}" for file in files), "b/1.png"]


def sides(groups, validation, seed=0):
    training = np.ones(len(groups), bool)
    training[validation] = False
    names = [f"g{number}" for number in range(max(groups) + 1)]
    return choose_sides(np.array(groups), training, names, seed)


def test_a_group_on_one_side_stays_there():
    assert sides([0, 0, 1, 1, 2], [2, 3]) == []


def test_as_many_crops_validate_as_before_as_far_as_whole_groups_allow():
    # Twenty groups of five; one crop of each validates.
    groups = [number // 5 for number in range(100)]
    chosen = sides(groups, list(range(0, 100, 5)))
    assert len(chosen) == 20 and sum(not one.training for one in chosen) == 4
    others = sides(groups, list(range(0, 100, 5)), seed=1)
    assert sum(not one.training for one in others) == 4 and others != chosen


def test_a_large_group_does_not_become_validation_for_a_few_crops():
    assert sides([0] * 50 + [1, 2, 3], [0, 50]) == [Side(0, True)]


def test_validation_is_not_emptied():
    # Two shots of which some frames validate, and nothing else does: the smaller one validates.
    assert sides([0] * 30 + [1] * 20 + [2], [0, 30]) == [Side(0, True), Side(1, False)]
    assert sides([0] * 30 + [1], [0]) == [Side(0, False)]
    # A single group can't be on both sides.
    assert sides([0] * 30, [0]) == [Side(0, True)]
