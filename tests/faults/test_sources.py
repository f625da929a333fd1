"""The source of the images changes between indexing and packing."""

import hashlib
import json
import tarfile

import pytest
from commands import files, luigi
from failures import OPTIONS, assert_one_error_line, assert_store_is_whole
from PIL import Image
from server import serve_files


@pytest.mark.parametrize("then", ["changed", "removed"])
def test_an_image_changes_between_indexing_and_packing(then, options, undisturbed, photo_folder, tmp_path):
    store, image, kept = tmp_path / "store", photo_folder / "p4.png", tmp_path / "p4.png"
    fault = f"mv {image} {kept}" + f"; cp {photo_folder / 'p2.png'} {image}" * (then == "changed")
    failed = luigi(store, "MakeCrops", *options, when="before", by=fault)
    found = {"changed": "another one", "removed": "nothing"}[then]
    assert_one_error_line(failed, "indexed", found, "p4.png", "back, or run again")
    assert_store_is_whole(store, undisturbed)
    anew = luigi(tmp_path / "anew", "MakeCrops", *options)
    assert anew.returncode == 0, "the changed folder is another dataset"
    assert files(tmp_path / "anew").keys().isdisjoint(undisturbed)
    kept.rename(image)  # keeps its modification time, so the folder is the old dataset
    assert luigi(store, "MakeCrops", *options).returncode == 0
    assert files(store) == undisturbed


def test_a_downloaded_archive_is_deleted_after_planning(photo_folder, tmp_path):
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(photo_folder, "photos")
    content = (tmp_path / "photos.tar").read_bytes()
    with serve_files({"/photos.tar": content}) as server:
        (tmp_path / "catalog").mkdir()
        (tmp_path / "catalog" / "Trip.toml").write_text(
            'name = "Trip"\nkind = "archives"\ntitle = "t"\nlicense = "l"\n[[files]]\n'
            f'name = "photos.tar"\nurls = ["{server.url}/photos.tar"]\nbytes = {len(content)}\n'
            f'sha256 = "{hashlib.sha256(content).hexdigest()}"\n'
        )
        options = ["--dataset", "Trip", "--store-catalog", str(tmp_path / "catalog"), *OPTIONS]
        store, reference = tmp_path / "store", tmp_path / "reference"
        assert luigi(reference, "MakeCrops", *options).returncode == 0
        assert luigi(store, "PlanCrops", *options).returncode == 0
        (archive,) = store.glob("downloads/*/photos.tar")
        archive.unlink()
        failed = luigi(store, "MakeCrops", *options)
        assert_one_error_line(failed, "verified archives", str(archive.parent), "Download --dataset Trip")
        assert_store_is_whole(store, files(reference) | downloads(store))
        assert luigi(store, "Download", "--dataset", "Trip", *options[2:4]).returncode == 0
        assert luigi(store, "MakeCrops", *options).returncode == 0
    assert files(store / "crops") == files(reference / "crops")


def downloads(store):
    """Return the files of a store's downloads, whose lists of verified files contain times of this store only."""
    return {f"downloads/{name}": content for name, content in files(store / "downloads").items()}


@pytest.mark.parametrize("mode", ["1", "P"])
def test_a_small_file_of_an_enormous_image_is_one_rejection(mode, options, photo_folder, tmp_path):
    Image.new(mode, (30_000, 30_000)).save(photo_folder / "bomb.png")
    assert (photo_folder / "bomb.png").stat().st_size < 2e6
    result = luigi(tmp_path / "store", "MakeCrops", *options)
    assert result.returncode == 0, result.stderr
    (rejections,) = (tmp_path / "store").glob("crops/*/rejections.jsonl")
    found = [json.loads(line) for line in rejections.read_text().splitlines()]
    assert [one["reason"] for one in found if one["id"] == "bomb.png"] == ["too_large"]
    (record,) = (tmp_path / "store").glob("crops/*/dataset.json")
    assert json.loads(record.read_text())["totals"]["sources"] == 7
