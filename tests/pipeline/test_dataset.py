"""A finished dataset, made by the same steps as MakeCrops, opens in every program that should open it."""

import dataclasses
import json
import weakref

import numpy as np
import pyarrow.parquet
import pytest
from images import textured
from PIL import Image
from settings import pack_settings, plan_settings

from data.catalog.resolve import resolve_dataset
from data.errors import UserError
from data.imaging.decode import decode
from data.record_json import to_plain
from data.shards import ShardPaths
from pipeline import dataset
from pipeline.crop_plan import plan_dataset
from pipeline.dataset import (
    PARQUET,
    finish_dataset,
    is_current,
    read_all_records,
    read_manifest,
    write_parquet,
)
from pipeline.index import index_source, read_entries
from pipeline.pack import pack_shard
from pipeline.plan_files import read_plan_shard, read_planned_shards, write_plan
from pipeline.verify import verify_dataset


def build(folder, root, finish=True):
    from data.sources import open_source

    dataset = resolve_dataset(str(folder))
    source = open_source(dataset)
    index_source(source, dataset.name, root / "index", min_side_px=128, max_bad_fraction=0)
    write_plan(
        *plan_dataset(
            read_entries(root / "index"), plan_settings(validation_fraction=0.2, crops_per_shard=12), "p"
        ),
        root / "plan",
    )
    for shard in read_planned_shards(root / "plan"):
        paths = ShardPaths(root / "crops", shard["name"])
        pack_shard(
            read_plan_shard(root / "plan", shard["name"]),
            source,
            paths,
            pack_settings(),
        )
    if finish:
        complete(dataset, root)
    return root / "crops"


def complete(dataset, root):
    finish_dataset(
        root / "crops", dataset, root / "index", root / "plan",
        spec_hash="abc", crop_size_px=128, image_extension="png", max_bad_fraction=0.0,
    )  # fmt: skip


@pytest.fixture
def crops(photo_folder, tmp_path):
    return build(photo_folder, tmp_path)


def test_the_manifest_adds_up(crops):
    manifest = read_manifest(crops)
    records = list(read_all_records(crops, manifest.shards))
    assert manifest.totals["crops"] == len(records) == sum(one.samples for one in manifest.shards)
    assert manifest.totals["bytes"] == sum(one.bytes for one in records)
    assert manifest.totals["sources"] == len(read_entries(crops.parent / "index"))
    rejected = [json.loads(line) for line in (crops / "rejections.jsonl").read_text().splitlines()]
    assert manifest.totals["rejected"] == len(rejected) == sum(manifest.rejections.values()) == 4
    assert {one.split for one in records} == {"train", "validation"}


def test_every_file_is_reproducible(photo_folder, crops, tmp_path):
    again = build(photo_folder, tmp_path / "again")
    for path in sorted(path.relative_to(crops) for path in crops.rglob("*") if path.is_file()):
        assert (crops / path).read_bytes() == (again / path).read_bytes(), path
    sheet = decode((crops / "contact-sheet.jpg").read_bytes())
    assert sheet.shape[1] == 1280 and sheet.shape[0] % 128 == 0


def test_the_parquet_has_every_field_of_every_record(crops):
    file = pyarrow.parquet.ParquetFile(crops / PARQUET)
    manifest = read_manifest(crops)
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [
        one.samples for one in manifest.shards
    ]
    for row, record in zip(file.read().to_pylist(), read_all_records(crops, manifest.shards), strict=True):
        plain = to_plain(record)
        for prefix, inner in (("box", plain.pop("box")), ("metric", plain.pop("metrics"))):
            plain |= {f"{prefix}_{name}": value for name, value in inner.items()}
        assert row == plain


def test_only_the_rows_of_one_shard_are_in_memory(crops, monkeypatch):
    class Row(dict):
        """A dict that can be referred to weakly."""

    alive, most = weakref.WeakValueDictionary(), 0
    plain_row = dataset._make_row

    def counted(record):
        nonlocal most
        row = Row(plain_row(record))
        alive[record["key"]] = row
        most = max(most, len(alive))
        return row

    monkeypatch.setattr(dataset, "_make_row", counted)
    shards = read_manifest(crops).shards
    write_parquet(crops, shards)
    assert len(shards) >= 3 and most <= max(one.samples for one in shards)


def test_catalog_texts_and_the_damage_budget_make_a_finished_dataset_out_of_date(photo_folder, crops):
    manifest, spec = read_manifest(crops), resolve_dataset(str(photo_folder))
    assert is_current(manifest, spec, 0.0)
    for field in ("title", "license", "citation"):
        assert not is_current(manifest, dataclasses.replace(spec, **{field: "another"}), 0.0)
    # One image of nine is damaged: a budget of 1/9 allows that, one of 0.1 does not.
    damaged = dataclasses.replace(
        manifest, totals=manifest.totals | {"images": 9}, rejections={"unreadable": 1}
    )
    assert is_current(damaged, spec, 1 / 9) and not is_current(damaged, spec, 0.1)


def test_a_shard_that_differs_from_its_header_is_refused(photo_folder, tmp_path):
    directory = build(photo_folder, tmp_path, finish=False)
    index = next((directory / "index").iterdir())
    index.write_text(index.read_text().replace("png", "jpg", 1))
    with pytest.raises(UserError, match=index.name):
        complete(resolve_dataset(str(photo_folder)), tmp_path)
    assert not (directory / "dataset.json").exists()


def test_webdataset_opens_the_shards(crops):
    webdataset = pytest.importorskip("webdataset")
    tars = sorted(str(path) for path in (crops / "shards").glob("train-*.tar"))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8"))
    records = {
        one.key: one for one in read_all_records(crops, read_manifest(crops).shards) if one.split == "train"
    }
    assert {sample["__key__"] for sample in samples} == set(records)
    assert all(sample["png"].shape == (128, 128, 3) for sample in samples)
    assert samples[0]["json"]["sha256"] == records[samples[0]["__key__"]].sha256


def test_hugging_face_datasets_opens_the_directory(crops, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    loaded = datasets.load_dataset(str(crops), cache_dir=str(tmp_path / "cache"))
    records = list(read_all_records(crops, read_manifest(crops).shards))
    assert set(loaded) == {"train", "validation"}
    assert sum(len(split) for split in loaded.values()) == len(records)
    first = loaded["train"][0]
    assert first["png"].size == (128, 128)
    assert first["__key__"] in {one.key for one in records}


def test_dali_opens_the_shards_through_their_indexes(crops):
    fn = pytest.importorskip("nvidia.dali.fn")
    from nvidia.dali import Pipeline

    manifest = read_manifest(crops)
    train = [ShardPaths(crops, one.shard) for one in manifest.shards if one.split == "train"]
    count = sum(one.samples for one in manifest.shards if one.split == "train")
    pipeline = Pipeline(batch_size=count, num_threads=1, device_id=None)
    with pipeline:
        stored = fn.readers.webdataset(
            paths=[str(one.tar) for one in train], index_paths=[str(one.index) for one in train],
            ext=["png"], missing_component_behavior="error",
        )  # fmt: skip
        pipeline.set_outputs(fn.decoders.image(stored, device="cpu"))
    pipeline.build()
    (images,) = pipeline.run()
    records = [one for one in read_all_records(crops, manifest.shards) if one.split == "train"]
    for image, one in zip(images, records, strict=True):
        with open(ShardPaths(crops, one.shard).tar, "rb") as tar:
            tar.seek(one.offset)
            assert (np.array(image) == decode(tar.read(one.bytes))).all()


def test_the_card_names_the_shards_and_the_rejections(crops):
    text = (crops / "README.md").read_text()
    assert "path: shards/train-*.tar" in text and "path: shards/validation-*.tar" in text
    assert "- 2 duplicate" in text
    assert dataclasses.asdict(read_manifest(crops))["license"] in text


@pytest.fixture
def warned_crops(photo_folder, tmp_path):
    """Give a dataset with three warnings about two images, one of them with a crop that is rejected too."""
    camera = photo_folder / "camera.jpg"
    content = camera.read_bytes()
    camera.write_bytes(content[:-2] + bytes(64) + content[-2:])
    Image.fromarray(textured(20, 300, 300)).save(photo_folder / "web.png", icc_profile=b"rubbish" * 9)
    Image.fromarray(textured(21, 600, 600)).save(
        photo_folder / "both.jpg", icc_profile=b"rubbish" * 9, quality=95
    )
    return build(photo_folder, tmp_path)


def test_warnings_are_counted_and_listed_and_cost_no_crop(warned_crops):
    manifest = read_manifest(warned_crops)
    assert manifest.warnings == {"extra_bytes": 1, "unreadable_profile": 2}
    lines = [json.loads(line) for line in (warned_crops / "warnings.jsonl").read_text().splitlines()]
    assert sorted((one["id"], one["stage"], one["reason"]) for one in lines) == [
        ("both.jpg", "pack", "unreadable_profile"),
        ("camera.jpg", "pack", "extra_bytes"),
        ("web.png", "pack", "unreadable_profile"),
    ]
    assert all(one["detail"] for one in lines)
    sources = {record.source for record in read_all_records(warned_crops, manifest.shards)}
    assert {"both.jpg", "camera.jpg", "web.png"} <= sources
    assert "warning" in (warned_crops / "README.md").read_text()
    assert "- 2 unreadable_profile" in (warned_crops / "README.md").read_text()
    found = verify_dataset(warned_crops, "headers")
    (shard,) = [one for one in manifest.shards if one.warnings.get("extra_bytes")]
    path = ShardPaths(warned_crops, shard.shard).warnings
    path.write_text("")
    damaged = [one.file for one in verify_dataset(warned_crops, "headers") if one not in found]
    assert damaged == [str(path.relative_to(warned_crops))]
    assert [one.file for one in found] == ["spec.json"], "which MakeCrops writes"


def test_a_dataset_without_warnings_has_no_list_of_them(crops):
    assert read_manifest(crops).warnings == {}
    assert not list(crops.rglob("*warnings*"))
    assert "warning" not in (crops / "README.md").read_text()
    plain = json.loads((crops / "dataset.json").read_text())
    for record in (plain, *plain["shards"]):
        del record["warnings"]
    for shard in plain["shards"]:
        del shard["warnings_sha256"]
    (crops / "dataset.json").write_text(json.dumps(plain))
    assert read_manifest(crops).warnings == {}, "a dataset that was made before there were warnings"
