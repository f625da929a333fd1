import dataclasses
import re

import pytest
from settings import plan_settings

from data.errors import UserError
from data.records import RejectionReason, SourceEntry
from pipeline.crop_plan import count_crops, place_crops
from pipeline.crop_plan import plan_dataset as plan_lazily
from pipeline.plan_files import read_plan_record, read_plan_shard, read_planned_shards, write_plan

SETTINGS = plan_settings(size_px=256, validation_fraction=0.1, crops_per_shard=20)


def entry(
    number: int, height: int = 600, width: int = 800, lossy: bool = False, group: str = ""
) -> SourceEntry:
    sha256 = f"{number:064x}"[::-1]
    return SourceEntry(
        f"p{number}", f"p{number}", width, height, "png", 1, sha256, lossy, group or f"p{number}", 8
    )


ENTRIES = [entry(number) for number in range(40)]


def plan_dataset(entries, settings, name):
    planned, rejections = plan_lazily(entries, settings, name)
    return list(planned), list(rejections)


def place(entry, settings):
    return place_crops(entry, entry.sha256, settings)


def test_an_image_is_cropped_at_every_downscale_factor_it_is_large_enough_for():
    crops = place(entry(1), SETTINGS)
    assert [crop.downscale_factor for crop in crops] == [1] * 6 + [2]
    assert len({crop.key for crop in crops}) == 7
    assert all(set(crop.key) <= set("0123456789abcdef-") for crop in crops)


def test_downscale_factors_are_doubled_for_lossy_images():
    assert {crop.downscale_factor for crop in place(entry(1, 1200, 1600, lossy=True), SETTINGS)} == {
        2,
        4,
    }
    assert place(entry(1, 511, 511, lossy=True), SETTINGS) == ()


def test_a_limit_keeps_a_subset_of_the_crops():
    capped = place(entry(1), dataclasses.replace(SETTINGS, max_crops_per_image=3))
    assert len(capped) == 3
    assert set(capped) <= set(place(entry(1), SETTINGS))


def test_adding_an_image_changes_no_other():
    before, _ = plan_dataset(ENTRIES, SETTINGS, "d")
    after, _ = plan_dataset([*ENTRIES, entry(99)], SETTINGS, "d")
    assert {one.entry.id: one.crops for one in after} == {
        "p99": 7,
        **{one.entry.id: one.crops for one in before},
    }


def test_the_order_of_the_index_does_not_matter():
    assert plan_dataset(ENTRIES, SETTINGS, "d") == plan_dataset(ENTRIES[::-1], SETTINGS, "d")


def test_groups_stay_together_and_splits_have_the_requested_size():
    entries = [entry(number, group=f"scene{number % 10}") for number in range(40)]
    planned, _ = plan_dataset(entries, SETTINGS, "d")
    places: dict[str, set[tuple[str, int]]] = {}
    for one in planned:
        places.setdefault(one.entry.group, set()).add((one.split, one.shard))
    assert all(len(where) == 1 for where in places.values())
    assert sum(one.split == "validation" for one in planned) == 4
    shards = [one.shard for one in planned if one.split == "train"]
    assert shards == sorted(shards) and set(shards) == set(range(max(shards) + 1))


@pytest.mark.parametrize(
    ("group", "name"), [("folder", "trip{}/IMG_{:04}.jpg"), (r"^(shot\d+)-", "shot{}-{:04}.png")]
)
def test_a_group_that_names_tell_is_never_divided(group, name):
    ids = [name.format(number % 8, number) for number in range(40)]
    entries = [dataclasses.replace(entry(place), id=id, group=id) for place, id in enumerate(ids)]
    alone = dataclasses.replace(entry(99), id="other.png", group="other.png")
    settings = dataclasses.replace(SETTINGS, group=group, validation_fraction=0.25)
    planned, _ = plan_dataset([*entries, alone], settings, "d")
    splits: dict[str, set[str]] = {}
    for one in planned:
        splits.setdefault(one.entry.group, set()).add(one.split)
    assert len(splits) == 9 and "other.png" in splits
    assert all(len(split) == 1 for split in splits.values())
    assert sum(split == {"validation"} for split in splits.values()) == 3
    divided, _ = plan_dataset(entries, dataclasses.replace(settings, group="image"), "d")
    assert len({one.entry.group for one in divided}) == 40


@pytest.mark.parametrize(
    ("group", "problem"),
    [
        ("folder", "'folder', but the name of no image of dataset d has such a group: all lie in one folder"),
        (r"(shot\d)", "has such a group: the first is p0"),
        ("shot", "it must be image, folder, or an expression with one group"),
        ("(shot", "it must be image, folder, or an expression with one group"),
        ("", "it must be image, folder, or an expression with one group"),
    ],
    ids=["flat", "unmatched", "no-group", "no-expression", "empty"],
)
def test_a_group_that_joins_no_image_is_an_error(group, problem):
    with pytest.raises(UserError, match=re.escape(problem)):
        plan_dataset(ENTRIES, dataclasses.replace(SETTINGS, group=group), "d")


@pytest.mark.parametrize("seed", range(4))
def test_a_group_of_more_than_half_of_the_crops_does_not_validate(seed):
    entries = [entry(number, group="large" if number < 30 else f"small{number % 2}") for number in range(40)]
    planned, _ = plan_dataset(entries, dataclasses.replace(SETTINGS, seed=seed), "d")
    assert {one.split for one in planned if one.entry.group == "large"} == {"train"}
    assert sum(one.split == "validation" for one in planned) == 5


def test_shards_have_about_the_requested_number_of_crops():
    planned, _ = plan_dataset(ENTRIES, dataclasses.replace(SETTINGS, validation_fraction=0.0), "d")
    sizes: dict[int, int] = {}
    for one in planned:
        sizes[one.shard] = sizes.get(one.shard, 0) + one.crops
    assert sum(sizes.values()) == 280
    assert all(14 <= size <= 28 for size in sizes.values())


@pytest.mark.parametrize(
    "change",
    [{}, {"max_crops_per_image": 5}, {"policy": "grid", "grid_step_px": 100}, {"max_pixels": 600_000}],
)
def test_the_count_of_crops_equals_the_planned_crops(change):
    settings = dataclasses.replace(SETTINGS, **change)
    for one in (entry(1), entry(2, 1300, 900, lossy=True), entry(3, 255, 800), entry(4, 3000, 257)):
        planned = place(one, settings) if one.width * one.height <= settings.max_pixels else ()
        assert count_crops(one, settings) == len(planned)


def test_an_image_that_is_too_small_is_rejected():
    planned, rejections = plan_dataset([entry(1), entry(2, 511, 800, lossy=True)], SETTINGS, "d")
    assert [one.entry.id for one in planned] == ["p1"]
    assert [(one.id, one.reason) for one in rejections] == [("p2", RejectionReason.TOO_SMALL)]
    assert "lossy" in rejections[0].detail


def test_a_dataset_without_a_crop_is_an_error():
    with pytest.raises(
        UserError,
        match="no image that a 2000x2000 crop fits into. The largest is 800x600; rejected: 40 too_small",
    ):
        plan_dataset(ENTRIES, dataclasses.replace(SETTINGS, size_px=2000), "d")


@pytest.mark.parametrize(
    "change",
    [
        {"size_px": 0},
        {"downscale_factors": (0, 1)},
        {"validation_fraction": 1.0},
        {"crops_per_shard": 0},
        {"max_crops_per_image": -1},
        {"policy": "center"},
        {"grid_step_px": 0},
        {"max_pixels": 0},
    ],
)
def test_invalid_settings_are_refused(change):
    with pytest.raises(UserError, match=next(iter(change))):
        plan_dataset(ENTRIES, dataclasses.replace(SETTINGS, **change), "d")


def test_a_plan_reads_back_shard_by_shard(tmp_path):
    planned, rejections = plan_dataset(ENTRIES, SETTINGS, "d")
    write_plan(planned, rejections, tmp_path)
    assert read_plan_record(tmp_path)["totals"] == {"sources": 40, "crops": 280, "groups": 40, "rejected": 0}
    shards = read_planned_shards(tmp_path)
    again = [one for shard in shards for one in read_plan_shard(tmp_path, shard["name"])]
    assert again == planned
    assert sum(shard["crops"] for shard in shards) == sum(one.crops for one in planned)


def test_a_grid_has_the_same_step_at_every_downscale_factor():
    crops = place(entry(1, 600, 800), dataclasses.replace(SETTINGS, policy="grid", grid_step_px=256))
    assert [(crop.downscale_factor, crop.box.top, crop.box.left) for crop in crops] == [
        *((1, top, left) for top in (0, 256, 344) for left in (0, 256, 512, 544)),
        *((2, top, left) for top in (0, 44) for left in (0, 144)),
    ]


def test_the_policy_best_plans_no_more_crops_than_fit():
    settings = dataclasses.replace(SETTINGS, policy="best", max_crops_per_image=4, validation_fraction=0.0)
    planned, _ = plan_dataset([entry(1), entry(2, 300, 300)], settings, "d")
    assert {one.entry.id: one.crops for one in planned} == {"p1": 4, "p2": 1}, "one crop fits into 300x300"
    with pytest.raises(UserError, match="1 or more with the policy best"):
        plan_dataset([entry(1)], dataclasses.replace(settings, max_crops_per_image=0), "d")


def test_an_image_that_needs_too_much_memory_is_rejected():
    planned, rejections = plan_dataset([entry(1), entry(2, 30_000, 30_000)], SETTINGS, "d")
    assert [one.entry.id for one in planned] == ["p1"]
    assert [(one.id, one.reason) for one in rejections] == [("p2", RejectionReason.TOO_LARGE)]
    assert "max_megapixels" in rejections[0].detail
