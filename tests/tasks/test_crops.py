"""What has no part in a dataset's name, and what follows where it changes."""

import json

import pytest
from commands import files
from crop_datasets import build, store

from tasks.crops import MakeCrops, PlanCrops


@pytest.fixture
def catalog(photo_folder, tmp_path):
    """Give a catalog folder with one dataset, an image of which is damaged."""
    (photo_folder / "bad.png").write_bytes((photo_folder / "p0.png").read_bytes()[:30])
    describe(tmp_path / "catalog", photo_folder, "mine")
    return tmp_path / "catalog"


def describe(catalog, photo_folder, license):
    catalog.mkdir(exist_ok=True)
    text = f'name = "Trip"\ntitle = "A trip"\nlicense = "{license}"\npath = "{photo_folder}"\n'
    (catalog / "trip.toml").write_text(text)


def test_how_much_damage_is_borne_names_nothing_but_holds(catalog, tmp_path, capfd):
    with store(tmp_path / "store", catalog):
        strict = MakeCrops(dataset="Trip")
        assert not build(strict)
        listed = strict.requires()["plan"].requires().directory() / "rejections.jsonl"
        assert str(listed) in capfd.readouterr().err and "bad.png" in listed.read_text()
    with store(tmp_path / "store", catalog, max_bad_fraction="0.1"):
        borne = MakeCrops(dataset="Trip")
        assert build(borne) and borne.directory() == strict.directory()
        before = files(borne.directory())
    with store(tmp_path / "store", catalog):
        strict = MakeCrops(dataset="Trip")
        assert not strict.complete() and not build(strict)
        assert "1 of 10" in capfd.readouterr().err
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
    assert changed == {
        "dataset.json", "README.md", "contact-sheet.jpg", "dataset.parquet", "rejections.jsonl",
    }  # fmt: skip


def test_a_grid_s_settings_name_no_plan_without_a_grid(photo_folder, tmp_path):
    def name(**crops):
        with store(tmp_path / "store", **crops):
            return PlanCrops(dataset=str(photo_folder)).directory_name

    assert name(grid_step_px="99", grid_min_rest_px="9") == name()
    assert name(policy="grid", grid_step_px="99") != name(policy="grid")
