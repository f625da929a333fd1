import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import pytest
from images import textured

from data.atomic_files import read_json, read_jsonl, write_json
from data.dali_index import encode_index, read_index
from data.errors import UserError
from data.hashing import sha256_file
from data.imaging.decode import decode
from data.imaging.encode import encode_png
from data.record_json import to_plain
from data.records import Box, CropRecord, DatasetManifest, RejectionReason, SourceEntry
from data.shards import ShardPaths, open_shard, read_header, read_image
from data.sources.folder import FolderSource
from pipeline.dataset import PARQUET, write_parquet
from pipeline.parts.sidecar import FeaturePaths, describe_shard
from pipeline.perceptual_hash import HASH_DIGITS, hash_orientations
from pipeline.quality_metrics import METRICS
from pipeline.selection.counts_table import format_counts_table
from pipeline.selection.decisions import DECISIONS, read_decisions
from pipeline.selection.leakage import NO_BENCHMARKS, Benchmark, hash_benchmarks
from pipeline.selection.part_matches import DescribedDataset
from pipeline.selection.part_records import ShownPart, write_parts
from pipeline.selection.parts import find_parts
from pipeline.selection.rules import parse_rule
from pipeline.selection.select_samples import preview_selection, read_selection, select_samples
from pipeline.selection.settings import SelectionSettings

SETTINGS = SelectionSettings(2, -1, 4, (), (), -1, 0, 0, (), (), 0, 0, 0)


def make(
    root,
    name,
    seeds,
    split_of=lambda number: "validation" if number % 4 == 0 else "train",
    extension="png",
    order=None,
    draw=lambda seed: textured(seed, 64, 64),
    group="{}",
):
    """Write a dataset of 64-pixel crops, one shard a split, whose images follow from seeds."""
    directory = root / name
    headers, order = [], list(order or range(len(seeds)))
    for split in ("train", "validation"):
        paths = ShardPaths(directory, f"{split}-000000")
        with open_shard(paths, split, extension, []) as writer:
            for number in order:
                seed = seeds[number]
                if split_of(number) == split:
                    image = draw(seed)
                    phashes = hash_orientations(image)
                    metrics = dict.fromkeys(METRICS, 0.0) | {"sharpness": float(number)}
                    writer.add(
                        CropRecord(
                            f"{name}{number}", "", 0, 0, "", f"s{seed}", f"{seed:x}", 1, Box(0, 0, 64, 64),
                            phashes[:HASH_DIGITS], phashes, metrics, split, group.format(f"s{seed}"),
                        ),
                        encode_png(image),
                    )  # fmt: skip
        headers.append(read_header(paths.header))
    manifest = DatasetManifest(
        DatasetManifest.VERSION,
        name,
        "ff",
        "t",
        "MIT",
        64,
        extension,
        tuple(headers),
        {"crops": len(seeds)},
        {},
        "",
        {PARQUET: write_table(directory, headers)},
    )
    write_json(directory / "dataset.json", to_plain(manifest))
    return directory


def write_table(directory, headers):
    """Write dataset.parquet and return its digest."""
    write_parquet(directory, headers)
    return sha256_file(directory / PARQUET)


def select(datasets, out, benchmarks=NO_BENCHMARKS, **change):
    select_samples(datasets, benchmarks, dataclasses.replace(SETTINGS, **change), out, "abc")
    return read_selection(out)


def keys(selection, out, split):
    return [line.key for shard in selection.splits[split] for line in read_index(out / shard.index)]


def test_a_selection_reads_the_right_images_from_the_shards(tmp_path):
    directory = make(tmp_path, "a", range(12))
    selection = select([directory], tmp_path / "s")
    assert selection.totals == {"train": 9, "validation": 3, "rejected": 0}
    for shards in selection.splits.values():
        for shard in shards:
            assert not Path(shard.tar).is_absolute()
            with open(tmp_path / "s" / shard.tar, "rb") as tar:
                for line in read_index(tmp_path / "s" / shard.index):
                    assert (decode(read_image(tar, line)) == textured(int(line.key[1:]), 64, 64)).all()


def test_the_order_is_random_and_fixed_by_the_seed(tmp_path):
    directory = make(tmp_path, "a", range(40))
    orders = [
        keys(select([directory], tmp_path / f"s{seed}", seed=seed % 2), tmp_path / f"s{seed}", "train")
        for seed in range(3)
    ]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) != orders[0]


def test_one_of_two_near_duplicates_stays_and_validation_goes_first(tmp_path):
    # Image 0 validates in one dataset; the same image trains in the other.
    first, second = make(tmp_path, "a", [0, 1, 2, 3]), make(tmp_path, "b", [9, 0, 8, 7])
    selection = select([first, second], tmp_path / "s")
    assert selection.rejections == {"near_duplicate": 1}
    assert "b1" not in keys(selection, tmp_path / "s", "train")
    assert "a0" in keys(selection, tmp_path / "s", "validation")
    both = select([first, second], tmp_path / "all", near_duplicate_bits=-1)
    assert both.totals["train"] + both.totals["validation"] == 8


def test_crops_of_benchmark_images_are_rejected(tmp_path):
    import cv2

    (tmp_path / "bench").mkdir()
    for name, image in (
        ("x.png", cv2.resize(textured(5, 64, 64), (96, 96))),
        ("y.png", textured(6, 64, 64)[:, ::-1]),
        ("z.png", textured(7, 64, 64).transpose(1, 0, 2)),
    ):
        cv2.imwrite(str(tmp_path / "bench" / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    source = FolderSource(tmp_path / "bench")
    entries = [one for one in source.scan() if isinstance(one, SourceEntry)]
    benchmarks = hash_benchmarks([Benchmark("bench", source, entries)])
    selection = select([make(tmp_path, "a", range(12))], tmp_path / "s", benchmarks=benchmarks)
    assert selection.rejections == {"leakage": 3}
    assert not {"a5", "a6", "a7"} & set(keys(selection, tmp_path / "s", "train"))


def test_sharpness_and_limits_reject_crops(tmp_path):
    directory = make(tmp_path, "a", range(12))
    selection = select(
        [directory], tmp_path / "s", rules=(parse_rule("sharpness >= 2"),), max_train=3, max_validation=1
    )
    assert selection.totals == {"train": 3, "validation": 1, "rejected": 8}
    assert selection.rejections == {str(RejectionReason.LOW_QUALITY): 2, str(RejectionReason.OVER_CAP): 6}


def test_an_empty_split_is_refused(tmp_path):
    directory = make(tmp_path, "a", range(4), split_of=lambda number: "train")
    with pytest.raises(UserError, match="No validation crops are left"):
        select([directory], tmp_path / "s")
    assert not (tmp_path / "s" / "selection.json").exists()


def test_datasets_of_two_formats_are_refused(tmp_path):
    with pytest.raises(UserError, match="one crop size and one format, but they have 64 px jpg, 64 px png"):
        select(
            [make(tmp_path, "a", range(4)), make(tmp_path, "b", range(4), extension="jpg")], tmp_path / "s"
        )


def test_the_order_of_the_rows_changes_nothing(tmp_path):
    seeds = [0, 1, 0, 2, 3, 0, 4, 5, 1, 6, 7, 2]
    results = []
    for run, order in enumerate((range(12), reversed(range(12)))):
        directory = make(tmp_path / f"d{run}", "a", seeds, order=order)
        selection = select([directory], tmp_path / f"s{run}")
        lists = [keys(selection, tmp_path / f"s{run}", split) for split in ("train", "validation")]
        results.append((lists, (tmp_path / f"s{run}" / "rejections.jsonl").read_bytes()))
    assert results[0] == results[1]
    assert results[0][1].count(b"near_duplicate") == 4


def test_a_table_that_differs_from_its_record_is_refused(tmp_path):
    directory = make(tmp_path, "a", range(8))
    with open(directory / PARQUET, "ab") as file:
        file.write(b"more")
    with pytest.raises(UserError, match=r"dataset\.parquet is damaged or was replaced"):
        select([directory], tmp_path / "s")


def test_a_percentile_counts_all_crops_and_names_the_threshold(tmp_path):
    directory = make(tmp_path, "a", range(12))
    selection = select([directory], tmp_path / "s", rules=(parse_rule("sharpness > p50"),))
    assert selection.rejections == {str(RejectionReason.LOW_QUALITY): 7}
    first = (tmp_path / "s" / "rejections.jsonl").read_text().split("\n")[0]
    assert "sharpness is 0, not above 6 (percentile 50)" in first


def test_scores_of_another_program_are_a_metric(tmp_path):
    directory = make(tmp_path, "a", range(12))
    scores = tmp_path / "scores.csv"
    rows = [f"x/s{seed}.png,{seed / 10},text" for seed in range(11)]
    scores.write_text("\n".join(["file,beauty,comment", *rows]))
    rule = (parse_rule("beauty >= 0.5"),)
    selection = select([directory], tmp_path / "s", rules=rule, scores=(scores,))
    left = keys(selection, tmp_path / "s", "train") + keys(selection, tmp_path / "s", "validation")
    assert sorted(left) == ["a10", "a5", "a6", "a7", "a8", "a9"]
    assert "beauty has no value for it" in (tmp_path / "s" / "rejections.jsonl").read_text()


def test_a_rule_of_an_unknown_metric_names_the_nearest(tmp_path):
    directory = make(tmp_path, "a", range(4))
    with pytest.raises(UserError, match="there is no metric sharpnes") as error:
        select([directory], tmp_path / "s", rules=(parse_rule("sharpnes > 1"),))
    assert "Did you mean sharpness?" in error.value.hint


def test_weights_leave_as_many_of_each_dataset_as_they_say(tmp_path):
    directories = [make(tmp_path, name, range(first, first + 16)) for name, first in (("a", 0), ("b", 20))]
    selection = select(directories, tmp_path / "s", weights=(1.0, 3.0))
    train = keys(selection, tmp_path / "s", "train")
    assert (sum(key[0] == "a" for key in train), sum(key[0] == "b" for key in train)) == (4, 12)
    capped = select(directories, tmp_path / "t", weights=(1.0, 3.0), max_train=8)
    train = keys(capped, tmp_path / "t", "train")
    assert (sum(key[0] == "a" for key in train), sum(key[0] == "b" for key in train)) == (2, 6)


def test_of_each_source_only_so_many_crops_are_used(tmp_path):
    seeds = [0, 1, 1, 1, 1, 2, 2, 3]
    directory = make(tmp_path, "a", seeds, split_of=lambda number: "train" if number else "validation")
    off = {"near_duplicate_bits": -1}
    selection = select([directory], tmp_path / "s", max_per_source=2, **off)
    assert selection.totals == {"train": 5, "validation": 1, "rejected": 2}
    # A cap in all takes from every source before it takes a second crop of one.
    capped = select([directory], tmp_path / "t", max_train=3, **off)
    assert sorted(seeds[int(key[1:])] for key in keys(capped, tmp_path / "t", "train")) == [1, 2, 3]


def test_of_copies_in_two_datasets_the_one_for_validation_stays_then_the_one_with_more_crops(tmp_path):
    # Image 5 validates in the first dataset; image 7 has three crops in the second and one in the first.
    first = make(tmp_path, "a", [5, 6, 7, 8], split_of=lambda number: "train" if number else "validation")
    second = make(tmp_path, "b", [9, 5, 7, 7, 7], split_of=lambda number: "train" if number else "validation")
    off = {"near_duplicate_bits": -1}
    selection = select([first, second], tmp_path / "s", copy_bits=8, **off)
    assert keys(selection, tmp_path / "s", "validation") == ["a0", "b0"]
    assert sorted(keys(selection, tmp_path / "s", "train")) == ["a1", "a3", "b2", "b3", "b4"]
    assert "s7 is a copy of s7" in (tmp_path / "s" / "rejections.jsonl").read_text()


def test_each_dataset_gives_at_most_its_cap(tmp_path):
    directories = [make(tmp_path, name, range(first, first + 16)) for name, first in (("a", 0), ("b", 20))]
    selection = select(directories, tmp_path / "s", max_per_dataset=(3, 0))
    assert [one.train for one in selection.datasets] == [3, 12]
    train = keys(selection, tmp_path / "s", "train")
    assert (sum(key[0] == "a" for key in train), sum(key[0] == "b" for key in train)) == (3, 12)
    # A cap on the dataset comes before the weights, the cap in all after them.
    both = select(
        directories, tmp_path / "t", max_per_source=1, max_per_dataset=(8, 4), weights=(1.0, 1.0), max_train=6
    )
    assert [one.train for one in both.datasets] == [3, 3]
    assert [(one.filter, one.rejected) for one in both.filters if any(one.rejected)] == [
        ("max_per_dataset", (4, 8)),
        ("weights", (5, 1)),
    ]


def test_the_record_counts_each_filter_and_the_decisions_say_which_one(tmp_path):
    first, second = make(tmp_path, "a", [0, 1, 2, 3]), make(tmp_path, "b", [9, 0, 8, 7])
    rules = (parse_rule("sharpness >= 3"), parse_rule("noise <= 1"))
    selection = select([first, second], tmp_path / "s", rules=rules[1:])
    counts = {one.filter: one.rejected for one in selection.filters}
    assert counts == {"leakage_bits": (0, 0), "noise <= 1": (0, 0), "near_duplicate_bits": (0, 1)}
    assert [dataclasses.astuple(one) for one in selection.datasets] == [("a", 4, 3, 1), ("b", 4, 2, 1)]
    rows = pyarrow.parquet.read_table(tmp_path / "s" / DECISIONS).to_pylist()
    assert [(row["dataset"], row["key"]) for row in rows if row["filter"]] == [("b", "b1")]
    twin = next(row for row in rows if row["filter"])
    assert (twin["filter"], twin["like"], twin["detail"]) == (
        "near_duplicate_bits", "a0", "nearly the same as a0",
    )  # fmt: skip
    decisions = read_decisions(tmp_path / "s", selection.decisions_sha256)
    assert decisions.selected.sum() == 7 and decisions.like(int(np.argmin(decisions.selected))) == "a0"


def test_a_preview_counts_what_a_selection_rejects_and_writes_nothing(tmp_path):
    directories = [make(tmp_path, "a", range(12)), make(tmp_path, "b", range(20, 32))]
    settings = dataclasses.replace(SETTINGS, rules=(parse_rule("sharpness >= 2"),), max_train=5)
    before = sorted(tmp_path.rglob("*"))
    lines, empty = preview_selection(directories, NO_BENCHMARKS, settings)
    assert sorted(tmp_path.rglob("*")) == before and not empty
    select_samples(directories, NO_BENCHMARKS, settings, tmp_path / "s", "abc")
    selection = read_selection(tmp_path / "s")
    assert lines == format_counts_table(selection.datasets, selection.filters)
    table = {line.rpartition("   ")[0].split("  ")[0]: line.split()[-3:] for line in lines}
    assert table["crops"] == ["12", "12", "24"]
    assert table["sharpness >= 2: low_quality"] == ["2", "2", "4"]
    _, empty = preview_selection(
        directories, NO_BENCHMARKS, dataclasses.replace(settings, rules=(parse_rule("noise > 1"),))
    )
    assert empty == ["train", "validation"]


def files_of(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def shuffle_dataset(directory, seed):
    """Put the rows of dataset.parquet and the shards of dataset.json into another order."""
    random = np.random.default_rng(seed)
    table = pyarrow.parquet.read_table(directory / PARQUET)
    table = table.take(random.permutation(len(table)))
    pyarrow.parquet.write_table(table, directory / PARQUET, row_group_size=1 + seed)
    record = read_json(directory / "dataset.json")
    random.shuffle(record["shards"])
    record["file_sha256"][PARQUET] = sha256_file(directory / PARQUET)
    write_json(directory / "dataset.json", record)


def test_the_order_of_rows_and_shards_and_the_number_of_threads_change_no_byte(tmp_path):
    seeds, frames = [0, 1, 0, 2, 3, 0, 4, 5, 1, 6, 7, 2, *range(10, 22)], range(600, 608)
    scores = tmp_path / "scores.csv"
    scores.write_text("\n".join(["file,beauty", *(f"s{seed},{seed % 3}" for seed in [*range(30), *frames])]))
    settings = {
        "rules": (parse_rule("sharpness >= p10"), parse_rule("beauty >= 0")), "scores": (scores,),
        "copy_bits": 2, "max_per_source": 2, "max_per_dataset": (12, 9), "weights": (2.0, 1.0), "max_train": 12,
        "group_bits": 16, "max_per_group": 9,
    }  # fmt: skip
    first = make(tmp_path, "a", [*seeds, *frames], draw=draw_shot)
    directories = [first, make(tmp_path, "b", seeds[::-1])]
    threads, results = pyarrow.cpu_count(), []
    try:
        for run in range(4):
            pyarrow.set_cpu_count(1 + run)
            select(directories, tmp_path / f"s{run}", **settings)
            results.append(files_of(tmp_path / f"s{run}"))
            for directory in directories:
                shuffle_dataset(directory, run)
    finally:
        pyarrow.set_cpu_count(threads)
    assert {"selection.json", "rejections.jsonl", DECISIONS} < results[0].keys() and len(results[0]) > 5
    assert results[0]["moved.jsonl"]
    assert all(result == results[0] for result in results[1:])


def draw_shot(seed):
    return shot(seed) if seed >= 100 else textured(seed, 64, 64)


def shot(seed):
    """Return image `seed % 100` of shot `seed // 100`: each shows what lies 1 pixel to the right of the one before."""
    return textured(seed // 100, 64, 164)[:, seed % 100 : seed % 100 + 64]


def shots_of(selected, out, split):
    return {int(key[1:]) // 10 for key in keys(selected, out, split)}


def test_frames_of_a_shot_are_on_one_side_and_no_crop_is_lost(tmp_path):
    seeds = [100 * (number // 10) + number % 10 for number in range(100)]
    directory = make(tmp_path, "a", seeds, split_of=lambda n: "train" if n % 10 else "validation", draw=shot)
    off = {"near_duplicate_bits": -1}
    out = tmp_path / "s"
    selection = select([directory], out, group_bits=16, **off)
    assert selection.totals == {"train": 90, "validation": 10, "rejected": 0}
    assert selection.moved == {"train": 9, "validation": 9}
    train, validation = (shots_of(selection, out, split) for split in ("train", "validation"))
    assert len(train) == 9 and len(validation) == 1 and not train & validation
    moves = list(read_jsonl(out / "moved.jsonl"))
    assert len(moves) == 18 and {one["split"] for one in moves} == {"train", "validation"}
    # The shards are as they were; a split reads its crops by an index of its own.
    (shard,) = [one for one in selection.splits["validation"] if "train-000000" in one.tar]
    assert shard.index == "index/a-0-train-000000-validation.idx" and shard.samples == 9
    with open(out / shard.tar, "rb") as tar:
        for line in read_index(out / shard.index):
            assert np.array_equal(decode(read_image(tar, line)), shot(seeds[int(line.key[1:])]))
    apart = select([directory], tmp_path / "t", group_bits=-1, **off)
    assert apart.moved == {} and len(shots_of(apart, tmp_path / "t", "validation")) == 10
    lines, _ = preview_selection(
        [directory], NO_BENCHMARKS, dataclasses.replace(SETTINGS, group_bits=16, **off)
    )
    assert lines[-1] == "Moved, because their group was in both splits: 9 to train and 9 to validation"


def test_a_moved_crop_gives_way_to_a_near_duplicate_in_validation(tmp_path):
    # All of a shot changes to training; one of its frames is in another dataset's validation, too.
    seeds = [100, 101, 102, 103, 900]
    first = make(tmp_path, "a", seeds, split_of=lambda n: "validation" if n in (0, 4) else "train", draw=shot)
    second = make(tmp_path, "b", [100, 800], split_of=lambda n: "train" if n else "validation", draw=shot)
    selection = select([first, second], tmp_path / "s", group_bits=16)
    assert "b0" in keys(selection, tmp_path / "s", "validation")
    assert "a0" not in keys(selection, tmp_path / "s", "train") + keys(
        selection, tmp_path / "s", "validation"
    )


def test_of_each_group_only_so_many_crops_are_used(tmp_path):
    seeds = [100 * (number // 10) + number % 10 for number in range(30)]
    directory = make(
        tmp_path, "a", [*seeds, 900], split_of=lambda n: "train" if n < 30 else "validation", draw=shot
    )
    settings = {"near_duplicate_bits": -1, "group_bits": 16}
    selection = select([directory], tmp_path / "s", max_per_group=4, **settings)
    train = keys(selection, tmp_path / "s", "train")
    assert [sum(int(key[1:]) // 10 == one for key in train) for one in range(3)] == [4, 4, 4]
    assert selection.rejections == {"over_cap": 18}
    # Groups that the dataset has count without any comparison, too.
    scenes = make(tmp_path, "b", range(8), group="scene", draw=lambda seed: textured(seed, 64, 64))
    capped = select([scenes], tmp_path / "t", max_per_group=4)
    assert capped.totals["train"] == 4


def test_copies_are_never_on_both_sides_in_one_dataset_and_in_two(tmp_path):
    # Image 1 validates in b and trains in a, image 2 the other way round; 3 is on both sides of b, under two names.
    seeds = {"a": [1, 2, 4, 5], "b": [1, 2, 3, 103, 6]}
    validating = {"a": {1, 2}, "b": {0, 2}}
    first, second = (
        make(
            tmp_path,
            name,
            seeds[name],
            split_of=lambda n, name=name: "validation" if n in validating[name] else "train",
            draw=lambda seed: textured(seed % 100, 64, 64),
        )
        for name in "ab"
    )
    for group_bits in (-1, 16):
        for order in ([first, second], [second, first]):
            out = tmp_path / f"{order[0].name}{group_bits}"
            selection = select(order, out, copy_bits=8, near_duplicate_bits=-1, group_bits=group_bits)
            train, validation = (
                {seeds[key[0]][int(key[1:])] % 100 for key in keys(selection, out, split)}
                for split in ("train", "validation")
            )
            assert (train, validation) == ({5, 6}, {1, 2, 3, 4})


def test_parts_of_an_image_that_has_moved_to_training_cost_no_crop(tmp_path):
    # Frame 0 of a shot validates, and so does another image; frames 1 to 3 show parts of frame 0, image 5 of the other.
    seeds = [100, 101, 102, 103, 900, 800]
    directory = make(
        tmp_path, "a", seeds, split_of=lambda n: "validation" if n in (0, 4) else "train", draw=shot
    )
    parts = [ShownPart(0, f"a{n}", f"s{seeds[n]}", False, "s100", 0, "a0", 30, "") for n in (1, 2, 3)]
    parts.append(ShownPart(0, "a5", "s800", False, "s900", 0, "a4", 30, ""))
    write_parts(tmp_path / "parts", parts, {})
    off = {"near_duplicate_bits": -1, "parts": tmp_path / "parts"}
    with pytest.raises(UserError, match="No train crops are left of a .rejected: 4 shows_validation"):
        select([directory], tmp_path / "s", **off)
    together = select([directory], tmp_path / "t", group_bits=16, **off)
    assert together.rejections == {"shows_validation": 1} and together.moved == {"train": 1}
    assert sorted(keys(together, tmp_path / "t", "train")) == ["a0", "a1", "a2", "a3"]
    assert keys(together, tmp_path / "t", "validation") == ["a4"]


def test_a_crop_that_its_index_lacks_is_refused_and_not_left_out(tmp_path):
    directory = make(tmp_path, "a", range(8))
    index = ShardPaths(directory, "train-000000").index
    lines = read_index(index)
    index.write_bytes(encode_index(lines[1:]))
    record = read_json(directory / "dataset.json")
    record["shards"][0]["index_sha256"] = sha256_file(index)
    write_json(directory / "dataset.json", record)
    with pytest.raises(UserError, match=rf"lacks 1 crops .* {lines[0].key} among them"):
        select([directory], tmp_path / "s")
    assert not (tmp_path / "s" / "selection.json").exists()


def test_an_image_that_moves_to_validation_with_its_group_is_kept_out_of_training_by_parts(tmp_path):
    def draw(seed):
        if seed > 1:
            return np.rot90(draw(1)) if seed == 7 else textured(seed, 64, 64)
        # Two frames that look alike from afar, and have no detail in common.
        coarse = cv2.resize(textured(0, 8, 8), (64, 64), interpolation=cv2.INTER_CUBIC).astype(int)
        return np.clip(coarse // 2 + textured(50 + seed, 64, 64) // 2, 0, 255).astype(np.uint8)

    directory = make(tmp_path, "a", range(10), split_of=lambda n: "train" if n else "validation", draw=draw)
    for split in ("train", "validation"):
        shard = f"{split}-000000"
        describe_shard(ShardPaths(directory, shard), 64, FeaturePaths(tmp_path / "f", shard))
    grouping = SelectionSettings(group_bits=24)
    find_parts([DescribedDataset(directory, tmp_path / "f")], [], NO_BENCHMARKS, grouping, tmp_path / "parts")
    off = {"near_duplicate_bits": -1, "copy_bits": -1, "leakage_bits": -1, "group_bits": 24}
    selection = select([directory], tmp_path / "s", parts=tmp_path / "parts", **off)
    assert selection.moved == {"validation": 1}
    assert selection.rejections == {"shows_validation": 1} and "a7" not in keys(
        selection, tmp_path / "s", "train"
    )
    assert [(one.source, one.target, one.crops) for one in selection.part_pairs] == [("s7", "s1", 1)]
    # Where the group stays for training, its parts may be shown there.
    apart = select([directory], tmp_path / "t", parts=tmp_path / "parts", **off | {"group_bits": -1})
    assert apart.rejections == {} and apart.part_pairs == ()
