"""Test what is not part of a dataset's name, and what happens when it changes."""

import json

import pytest
from commands import files
from crop_datasets import build, store

from pipeline.plan_files import read_plan_shard
from tasks.crops import MakeCrops, PackShard, PlanCrops


@pytest.fixture
def catalog(photo_folder, tmp_path):
    """Return a catalog folder with one dataset, of which one image is damaged."""
    (photo_folder / "bad.png").write_bytes((photo_folder / "p0.png").read_bytes()[:30])
    describe(tmp_path / "catalog", photo_folder, "mine")
    return tmp_path / "catalog"


def describe(catalog, photo_folder, license):
    catalog.mkdir(exist_ok=True)
    text = f'name = "Trip"\ntitle = "A trip"\nlicense = "{license}"\npath = "{photo_folder}"\n'
    (catalog / "trip.toml").write_text(text)


def test_the_allowed_damage_is_enforced_but_not_part_of_the_name(catalog, tmp_path, capfd):
    with store(tmp_path / "store", catalog):
        strict = MakeCrops(dataset="Trip")
        assert not build(strict)
        rejections = strict.plan.index.directory() / "rejections.jsonl"
        assert str(rejections) in capfd.readouterr().err and "bad.png" in rejections.read_text()
    with store(tmp_path / "store", catalog, max_bad_fraction="0.1"):
        tolerant = MakeCrops(dataset="Trip")
        assert build(tolerant) and tolerant.directory() == strict.directory()
        before = files(tolerant.directory())
    with store(tmp_path / "store", catalog):
        strict = MakeCrops(dataset="Trip")
        assert not strict.complete() and not build(strict)
        assert "max_bad_fraction" in capfd.readouterr().err
        assert files(strict.directory()) == before


def test_another_license_reaches_the_dataset_and_no_shard(catalog, photo_folder, tmp_path):
    (photo_folder / "bad.png").unlink()
    with store(tmp_path / "store", catalog):
        task = MakeCrops(dataset="Trip")
        assert build(task)
        crops = task.directory()
    before = {path: path.stat().st_mtime_ns for path in crops.rglob("*.*") if path.is_file()}
    describe(catalog, photo_folder, "CC0")
    with store(tmp_path / "store", catalog):
        task = MakeCrops(dataset="Trip")
        assert not task.complete() and build(task) and task.complete()
    assert json.loads((crops / "dataset.json").read_text())["license"] == "CC0"
    assert "CC0" in (crops / "README.md").read_text()
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"dataset.json", "README.md"}, "a file that has the same bytes is kept"


def test_grid_settings_are_not_part_of_the_name_without_a_grid(photo_folder, tmp_path):
    def name(**crops):
        with store(tmp_path / "store", **crops):
            return PlanCrops(dataset=str(photo_folder)).directory_name

    assert name(grid_step_px="99", grid_min_rest_px="9") == name()
    assert name(policy="grid", grid_step_px="99") != name(policy="grid")


def test_a_shard_does_not_list_the_folder_of_the_dataset_again(photo_folder, tmp_path):
    with store(tmp_path / "store"):
        spec = MakeCrops(dataset=str(photo_folder)).dataset_spec
        photo_folder.rename(tmp_path / "moved")
        assert PackShard(dataset=str(photo_folder), shard="train-000000").dataset_spec is spec


def test_a_group_on_the_command_line_is_for_paths_alone(photo_folder, catalog, tmp_path):
    (photo_folder / "bad.png").unlink()
    with store(tmp_path / "store", catalog, group="folder"):
        path, named = PlanCrops(dataset=str(photo_folder)), PlanCrops(dataset="Trip")
        assert (path.settings().group, named.settings().group) == ("folder", "image")
        assert build(PlanCrops(dataset=str(photo_folder)))
        assert path.counts().endswith("groups of images")
        groups = {
            one.entry.group for shard in path.shards() for one in read_plan_shard(path.directory(), shard)
        }
        assert "trip" in groups and "p0.png" in groups
        plan, index = path.directory(), path.index.directory()
    with store(tmp_path / "store", catalog):
        path = PlanCrops(dataset=str(photo_folder))
        assert path.directory() != plan and path.index.directory() == index


def test_a_single_group_is_said_to_leave_nothing_for_validation(photo_folder, tmp_path, capfd):
    for group, is_said in ((r"(\.)", True), ("image", False)):
        with store(tmp_path / "store", group=group):
            assert build(PlanCrops(dataset=str(photo_folder)))
            assert ("are one group, so none of them is for validation" in capfd.readouterr().out) == is_said
