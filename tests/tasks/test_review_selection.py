"""The page of a selection: its counts are those of other selections, and it shows the images nearest to thresholds."""

import base64
import dataclasses

import cv2
import luigi
import pyarrow.parquet
import pytest
from crop_datasets import build, store
from images import textured
from parsed_page import ParsedPage

from data.imaging.decode import decode
from pipeline.selection.decisions import DECISIONS
from pipeline.selection.leakage import hash_benchmarks
from pipeline.selection.part_records import ShownPart, write_parts
from pipeline.selection.select_samples import select_samples
from pipeline.selection.write_indexes import SPLITS
from pipeline.selection_page.selection_page import write_selection_page
from tasks.review_selection import ReviewSelection
from tasks.select import SelectSamples

RULES = "sharpness >= 2.4, noise <= p90"


def write(path, image):
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def write_images(folder, benchmark):
    """Write images, some of which are alike by degrees, and a benchmark that has two of them, more or less."""
    folder.mkdir()
    benchmark.mkdir()
    for number in range(10):
        write(folder / f"p{number}.png", textured(number, 280, 300))
    for step in range(1, 7):
        # More and more of another image, mirrored.
        alike = cv2.addWeighted(
            textured(1, 280, 300), 1 - 0.04 * step, textured(30, 280, 300), 0.04 * step, 0
        )
        write(folder / f"like-{step}.png", alike[:, ::-1])
    write(benchmark / "same.png", textured(2, 280, 300))
    near = cv2.addWeighted(textured(3, 280, 300), 0.8, textured(31, 280, 300), 0.2, 0)
    write(benchmark / "near.png", near)


def configure(values):
    """Set options of the configuration; None removes one."""
    config = luigi.configuration.get_config()
    for (section, name), value in values.items():
        if value is None:
            config.remove_option(section, name)
        else:
            config.set(section, name, value)
    luigi.task_register.Register.clear_instance_cache()


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    """Make a selection and its page; give the task."""
    root = tmp_path_factory.mktemp("review")
    write_images(root / "photos", root / "bench")
    (root / "scores.csv").write_text(
        "file,beauty\n" + "".join(f"p{number},{number / 4}\n" for number in range(8))
    )
    values = {
        ("selection", "datasets"): str(root / "photos"),
        ("selection", "scores"): str(root / "scores.csv"),
        ("selection", "rules"): RULES,
        ("selection", "leakage_bits"): "4",
        ("selection", "copy_bits"): "3",
        ("selection", "parts"): "off",  # of copies, this test shows what hashes find
        ("evaluation", "benchmarks"): str(root / "bench"),
    }
    with store(root / "store", min_contrast="0", min_sharpness="0", max_noise="0"):
        configure(values)
        task = ReviewSelection()
        assert build(task)
        yield task
        configure(dict.fromkeys(values))


@pytest.fixture(scope="module")
def page(reviewed):
    return ParsedPage(reviewed.page_path().read_text())


def reject_with(**change):
    """Return how many crops each filter rejects with other settings."""
    configure({("selection", name): value for name, value in change.items()})
    task = SelectSamples()
    assert build(task)
    counts = {one["filter"]: sum(one["rejected"]) for one in task.load_record()["filters"]}
    before = {"rules": RULES, "leakage_bits": "4", "copy_bits": "3", "near_duplicate_bits": None}
    configure({("selection", name): before[name] for name in change})
    return counts


def test_each_step_counts_what_another_selection_rejects(reviewed):
    steps = {one["filter"]: one for one in reviewed.load_record()["steps"]}
    filters = {one["filter"]: sum(one["rejected"]) for one in SelectSamples().load_record()["filters"]}
    assert [*steps] == [name for name in filters if name in steps] and len(steps) == 5
    for name, step in steps.items():
        assert step["as_it_is"]["rejected"] == filters[name]
        for side in ("looser", "stricter"):
            label = step[side]["label"]
            key, _, value = label.partition(" = ")
            change = {key: value} if value else {"rules": RULES.replace(name, label)}
            assert reject_with(**change)[label if not value else key] == step[side]["rejected"], label
    rejected = {
        name: step["stricter"]["rejected"] - step["looser"]["rejected"] for name, step in steps.items()
    }
    assert all(change >= 0 for change in rejected.values()) and rejected["sharpness >= 2.4"] > 0


def count_crops(**thresholds):
    """Return how many crops MakeCrops makes with other thresholds."""
    configure({("crops", name): str(value) for name, value in thresholds.items()})
    task = SelectSamples().datasets[0]
    assert build(task)
    count = task.load_record()["totals"]["crops"]
    configure(dict.fromkeys(("crops", name) for name in thresholds))
    return count


def test_each_step_of_a_threshold_of_the_crops_counts_what_another_dataset_has(reviewed):
    (steps,) = reviewed.load_record()["crop_steps"].values()
    crops = SelectSamples().datasets[0].load_record()["totals"]["crops"]
    # min_contrast, min_sharpness and max_noise are off.
    assert [one["filter"] for one in steps][:3] == ["max_underexposed", "max_overexposed", "max_border_px"]
    assert len(steps) == 9
    most = max(steps, key=lambda one: one["stricter"]["rejected"] - one["as_it_is"]["rejected"])
    fewer = most["stricter"]["rejected"] - most["as_it_is"]["rejected"]
    assert fewer > 0 and count_crops(**{most["filter"]: most["stricter"]["threshold"]}) == crops - fewer


def test_a_looser_threshold_of_the_crops_lets_those_pass_that_it_has_rejected(reviewed):
    table = pyarrow.parquet.read_table(SelectSamples().datasets[0].directory() / "dataset.parquet")
    middle = sorted(table["metric_contrast"].to_pylist())[len(table) // 2]
    configure({("crops", "min_contrast"): str(middle)})
    task = ReviewSelection()
    assert build(task)
    crops = SelectSamples().datasets[0].load_record()["totals"]["crops"]
    (steps,) = task.load_record()["crop_steps"].values()
    step = next(one for one in steps if one["filter"] == "min_contrast")
    more = step["as_it_is"]["rejected"] - step["looser"]["rejected"]
    assert step["as_it_is"]["rejected"] > 0
    assert 0 <= count_crops(min_contrast=step["looser"]["threshold"]) - crops <= more
    configure({("crops", "min_contrast"): "0"})
    labels = {one["as_it_is"]["label"] for one in steps}
    assert all(label in ParsedPage(task.page_path().read_text()).text for label in labels)


def test_the_histograms_count_every_crop(reviewed):
    record = reviewed.load_record()
    crops = sum(one["crops"] for one in SelectSamples().load_record()["datasets"])
    missing = {one["metric"]: one["missing"] for one in record["histograms"]}
    assert {"contrast", "sharpness", "noise"} <= missing.keys() and 0 < missing["beauty"] < crops
    assert not any(count for metric, count in missing.items() if metric != "beauty")
    for one in record["histograms"]:
        kept = record["totals"]["train"] + record["totals"]["validation"]
        assert kept - one["missing"] <= sum(one["selected"]) <= kept
        assert sum(one["selected"]) + sum(one["rejected"]) + one["missing"] == crops
        assert one["edges"] == sorted(set(one["edges"])) and len(one["edges"]) == len(one["selected"]) + 1


def test_the_page_needs_no_other_file_and_shows_pairs_and_rules(page):
    assert page.open == [] and {"filters", "steps", "pairs", "rules", "metrics"} <= page.ids
    assert not page.tags & {"script", "link", "iframe"}
    assert all(one.startswith(("data:image/jpeg;base64,", "#")) for one in page.references)
    for words in (
        "Copies of a source image: copy_bits", "Images that are in a benchmark: leakage_bits", "bench/same.png",
        "like-1.png", "p1.png", "sharpness >= 2.4", "noise <= p90", "leakage_bits = 5", "copy_bits = 2",
    ):  # fmt: skip
        assert words in page.text, words
    image = decode(base64.b64decode(page.references[-1].partition(",")[2]))
    assert image.shape == (128, 128, 3)


def test_pairs_stand_on_their_side_of_the_threshold(page):
    copies = page.text.partition("copy_bits Just rejected")[2].partition("Crops that are nearly equal")[0]
    rejected, _, kept = copies.partition("Just kept")
    distances = [
        [
            int(word)
            for word, unit in zip(side.split(), side.split()[1:], strict=False)
            if unit in ("bit", "bits")
        ]
        for side in (rejected, kept)
    ]
    assert distances[0] and distances[1]
    assert distances[0] == sorted(distances[0], reverse=True) and max(distances[0]) <= 3
    kept_bits = [bits for bits in distances[1] if bits != 6]  # "none within 6 bits" is no pair
    assert kept_bits == sorted(kept_bits) and min(kept_bits) > 3


def test_the_page_is_the_same_when_it_is_made_again(reviewed):
    before = reviewed.page_path().read_bytes()
    reviewed.page_path().unlink()
    reviewed.record_path().unlink()
    assert build(reviewed)
    assert reviewed.page_path().read_bytes() == before


def test_pairs_of_a_filter_without_a_threshold_in_bits_are_shown_with_their_detail(reviewed, tmp_path):
    selection = reviewed.selection
    settings = dataclasses.replace(selection.settings(), group_bits=-1)
    datasets, benchmarks = [one.directory() for one in selection.datasets], selection.open_benchmarks()
    hashes = hash_benchmarks(benchmarks)
    select_samples(datasets, hashes, settings, tmp_path / "first", "abc")
    decided = pyarrow.parquet.read_table(tmp_path / "first" / DECISIONS).to_pylist()
    kept = {
        split: [row["key"] for row in decided if not row["filter"] and row["split"] == split]
        for split in SPLITS
    }
    validation = kept["validation"][0]
    parts = [
        ShownPart(0, kept["train"][0], "first.png", True, "bench/near.png", -1, "", 41, ""),
        ShownPart(0, kept["train"][1], "second.png", False, "third.png", 0, validation, 17, ""),
    ]
    write_parts(tmp_path / "parts", parts, {})
    settings = dataclasses.replace(settings, parts=tmp_path / "parts")
    select_samples(datasets, hashes, settings, tmp_path / "s", "abc")
    thresholds = [SelectSamples().datasets[0].thresholds()]
    write_selection_page(datasets, tmp_path / "s", benchmarks, settings, thresholds, tmp_path / "page", "def")
    text = ParsedPage((tmp_path / "page" / "selection.html").read_text()).text
    benchmark_part, _, validation_part = text.partition("parts: benchmarks Rejected")[2].partition(
        "parts: validation Rejected"
    )
    assert "41 features agree" in benchmark_part and "bench/near.png" in benchmark_part
    assert "17 features agree" in validation_part and f"photos/{validation}" in validation_part
