import dataclasses
import io
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from images import textured
from PIL import Image
from settings import pack_settings, plan_settings

from data.hashing import pixels_digest, sha256_bytes
from data.imaging.decode import decode
from data.records import Rejection, RejectionReason, SourceEntry
from data.shards import ShardPaths, read_header, read_records, read_rejections
from data.sources.folder import FolderSource
from data.sources.sample import SampleSource
from pipeline import pack, worker_pool
from pipeline.crop_plan import place_crops, plan_dataset
from pipeline.detail_boxes import find_best_crops
from pipeline.downscale import downscale
from pipeline.index import index_source, read_entries
from pipeline.pack import crop_source, pack_shard
from pipeline.quality_filters import QualityThresholds

SETTINGS = pack_settings(thresholds=QualityThresholds(min_contrast=2.0, min_sharpness=0.6))


@pytest.fixture
def planned(photo_folder, tmp_path):
    cv2.imwrite(str(photo_folder / "sky.png"), np.full((300, 300, 3), 200, np.uint8))
    source = FolderSource(photo_folder)
    index_source(source, "photos", tmp_path / "index", min_side_px=128, max_bad_fraction=0)
    plan = list(plan_dataset(read_entries(tmp_path / "index"), plan_settings(), "photos")[0])
    return source, plan


def test_the_bytes_do_not_depend_on_the_number_of_processes(planned, tmp_path):
    source, plan = planned
    for processes in (1, 2, 5):
        paths = ShardPaths(tmp_path / str(processes), "train-000000")
        pack_shard(plan, source, paths, SETTINGS, processes=processes)
    files = [path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file()]
    assert len(files) == 5
    for file in files:
        assert len({(tmp_path / processes / file).read_bytes() for processes in "125"}) == 1, file


def test_crops_are_the_planned_pixels_and_nothing_vanishes(planned, tmp_path):
    source, plan = planned
    paths = ShardPaths(tmp_path / "d", "train-000000")
    pack_shard(plan, source, paths, SETTINGS, processes=2)
    records, rejections = list(read_records(paths)), list(read_rejections(paths.rejections))
    images = {entry.id: image for entry, image in source.read([one.entry for one in plan])}
    crops = [
        crop
        for one in plan
        for crop in place_crops(one.entry, pixels_digest(images[one.entry.id]), SETTINGS.plan)
    ]
    assert len(records) + len(rejections) == len(crops)
    assert {one.reason for one in rejections} == {RejectionReason.FLAT}
    assert [one.key for one in records] == [
        crop.key for crop in crops if crop.key in {one.key for one in records}
    ]
    with open(paths.tar, "rb") as tar:
        for one in records:
            tar.seek(one.offset)
            box, whole = one.box, downscale(images[one.source], one.downscale_factor)
            expected = whole[box.top : box.top + box.height, box.left : box.left + box.width]
            assert np.array_equal(decode(tar.read(one.bytes)), expected)
    assert read_header(paths.header).samples == len(records)


def test_a_damaged_source_is_one_rejection(planned, photo_folder):
    source, plan = planned
    one = next(one for one in plan if one.entry.id == "p0.png")
    content = (photo_folder / "p0.png").read_bytes()[:-100]
    (photo_folder / "p0.png").write_bytes(content)
    entry = dataclasses.replace(one.entry, sha256=sha256_bytes(content))
    made = list(crop_source(dataclasses.replace(one, entry=entry), source, SETTINGS))
    assert [(rejection.reason, content) for rejection, content in made] == [
        (RejectionReason.UNREADABLE, None)
    ]


def test_only_photographs_can_be_noisy(planned, tmp_path):
    """The sample images are drawn with textures that are noise."""
    settings = pack_settings(thresholds=QualityThresholds(max_noise=0.01))
    drawn = SampleSource(images=2, height_px=256, width_px=256)
    index_source(drawn, "drawn", tmp_path / "drawn", min_side_px=128, max_bad_fraction=0)
    sample = list(plan_dataset(read_entries(tmp_path / "drawn"), plan_settings(), "drawn")[0])
    for plan, source, rejected in ((planned[1], planned[0], True), (sample, drawn, False)):
        made = [crop for one in plan for crop, _ in crop_source(one, source, settings)]
        reasons = [crop.reason for crop in made if isinstance(crop, Rejection)]
        assert (RejectionReason.NOISY in reasons) == rejected and made


def test_crops_can_be_jpeg(planned):
    source, plan = planned
    made = list(crop_source(plan[0], source, pack_settings(image_extension="jpg", jpeg_quality=90)))
    assert len(made) == plan[0].crops
    assert all(image[:2] == b"\xff\xd8" for _, image in made)


def test_a_jpeg_larger_than_its_pixels_fits_into_the_shared_memory(tmp_path):
    (tmp_path / "noise").mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 2, (256, 256, 3), np.uint8) * 255
        cv2.imwrite(str(tmp_path / "noise" / f"{number}.png"), noise)
    source = FolderSource(tmp_path / "noise")
    sizes = plan_settings(size_px=256, downscale_factors=(1,))
    plan = list(plan_dataset(list(source.scan()), sizes, "noise")[0])
    settings = pack_settings(sizes, image_extension="jpg", jpeg_quality=100)
    paths = ShardPaths(tmp_path / "crops", "train-000000")
    pack_shard(plan, source, paths, settings, processes=2)
    assert read_header(paths.header).image_bytes > 3 * (3 * 256**2 + (1 << 16))


def test_the_policy_best_crops_where_the_detail_is(photo_folder, tmp_path):
    dull = np.full((512, 640, 3), 120, np.uint8)
    dull[200:328, 300:428] = textured(3, 128, 128)
    cv2.imwrite(str(photo_folder / "p2.png"), dull)
    source = FolderSource(photo_folder)
    index_source(source, "photos", tmp_path / "index", min_side_px=128, max_bad_fraction=0)
    settings = plan_settings(policy="best", max_crops_per_image=3, downscale_factors=(1,))
    plan = list(plan_dataset(read_entries(tmp_path / "index"), settings, "photos")[0])
    (one,) = [one for one in plan if one.entry.id == "p2.png"]
    made = [record for record, _ in crop_source(one, source, pack_settings(settings))]
    assert len(made) == 3
    best = max(made, key=lambda record: record.metrics["sharpness"])
    assert abs(best.box.top - 200) <= 8 and abs(best.box.left - 300) <= 8
    assert len({record.key for record in made}) == 3


@pytest.mark.parametrize(("height", "width", "size_px"), [(256, 256, 128), (340, 510, 128), (333, 407, 100)])
def test_the_policy_best_finds_as_many_crops_as_fit(height, width, size_px):
    image = np.full((height, width, 3), 120, np.uint8)
    middle = np.s_[
        (height - size_px) // 2 : (height + size_px) // 2, (width - size_px) // 2 : (width + size_px) // 2
    ]
    image[middle] = textured(3, size_px, size_px)
    fitting = (height // size_px) * (width // size_px)
    for count in (1, fitting - 1, fitting, fitting + 1):
        crops = find_best_crops({1: image}, size_px, count, "stem")
        assert len(crops) == len({crop.key for crop in crops}) == min(count, fitting)
        canvas = np.zeros((height, width), int)
        for crop in crops:
            canvas[crop.box.top : crop.box.top + size_px, crop.box.left : crop.box.left + size_px] += 1
        assert canvas.max() == 1 and canvas.sum() == len(crops) * size_px**2


def test_boxes_of_equal_detail_do_not_overlap():
    image = textured(4, 400, 700)
    crops = find_best_crops({1: image, 2: downscale(image, 2)}, 128, 100, "stem")
    assert len(crops) >= 6
    for number, one in enumerate(crops):
        assert (
            0 <= one.box.top <= 400 // one.downscale_factor - 128
            and 0 <= one.box.left <= 700 // one.downscale_factor - 128
        )
        for other in crops[:number]:
            apart = abs(one.box.top - other.box.top) >= 128 or abs(one.box.left - other.box.left) >= 128
            assert apart or one.downscale_factor != other.downscale_factor


@pytest.mark.parametrize("policy", ["grid", "best"])
def test_the_crops_of_one_image_in_several_turns_are_the_same(policy, planned, tmp_path, monkeypatch):
    source, _ = planned
    settings = plan_settings(policy=policy, max_crops_per_image=40, grid_step_px=60)
    entries = [one for one in source.scan() if isinstance(one, SourceEntry)]
    plan = list(plan_dataset(entries, settings, "photos")[0])
    packing = dataclasses.replace(SETTINGS, plan=settings)
    pack_shard(plan, source, ShardPaths(tmp_path / "whole", "train-000000"), packing)
    monkeypatch.setattr(pack, "_LARGEST_PART_BYTES", 500_000)  # 7 crops
    reserved = []
    reserve = worker_pool._reserve_slots
    monkeypatch.setattr(
        worker_pool, "_reserve_slots", lambda *sizes: reserved.append(sizes) or reserve(*sizes)
    )
    pack_shard(plan, source, ShardPaths(tmp_path / "parts", "train-000000"), packing, processes=2)
    assert reserved[0][1] <= 500_000 and max(one.crops for one in plan) > 14
    for path in (tmp_path / "whole").rglob("*.*"):
        if path.is_file():
            assert (
                path.read_bytes() == (tmp_path / "parts" / path.relative_to(tmp_path / "whole")).read_bytes()
            )


def test_a_dense_grid_over_an_enormous_image_is_made_in_turns():
    settings = plan_settings(policy="grid", size_px=512, grid_step_px=32, downscale_factors=(1,))
    entry = SourceEntry("a.png", "a.png", 11585, 11585, "png", 1, "0" * 64, False, "a.png", 8)
    (one,) = plan_dataset([entry], settings, "photos")[0]
    parts = pack._split_sources([one], 900)
    assert one.crops == 348**2 == sum(part.stop - part.start for _, part in parts)
    assert [part.start for _, part in parts] == list(range(0, one.crops, 900))


def stored(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def boxes_of(folder, settings):
    """Return the boxes of each image of a folder, with their pixels, by file name."""
    source = FolderSource(folder)
    plan = plan_dataset([one for one in source.scan() if isinstance(one, SourceEntry)], settings, "d")[0]
    made = {one.entry.id: list(crop_source(one, source, pack_settings(settings))) for one in plan}
    return {
        name: [(one.downscale_factor, one.box, image) for one, image in each] for name, each in made.items()
    }


@pytest.mark.parametrize("limit", [0, 3])
def test_the_same_pixels_in_other_files_get_the_same_boxes(limit, tmp_path):
    image = Image.fromarray(textured(5, 300, 420))
    turned = Image.Exif()
    turned[0x0112] = 6  # stored turned to the left
    photo = stored(image, "JPEG", quality=92)
    files = {
        "a.png": stored(image, "PNG", compress_level=1),
        "b.png": stored(image, "PNG", compress_level=9),
        "c.tif": stored(image, "TIFF", compression="tiff_lzw"),
        "d.bmp": stored(image, "BMP"),
        "e.png": stored(image.transpose(Image.Transpose.ROTATE_90), "PNG", exif=turned),
        "f.webp": stored(image, "WEBP", lossless=True),
        "photo.jpg": photo,
        "stripped.jpg": photo[:2] + b"\xff\xfe\x00\x09comment" + photo[2:],
        "other.png": stored(Image.fromarray(textured(6, 300, 420)), "PNG"),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    settings = plan_settings(size_px=64, downscale_factors=(1, 2), max_crops_per_image=limit)
    boxes = boxes_of(tmp_path, settings)
    lossless = [boxes[name] for name in ("a.png", "b.png", "c.tif", "d.bmp", "e.png", "f.webp")]
    assert all(one == lossless[0] for one in lossless) and len(lossless[0]) == (limit or 24 + 6)
    assert boxes["photo.jpg"] == boxes["stripped.jpg"]
    places = {name: [(factor, box) for factor, box, _ in each] for name, each in boxes.items()}
    assert places["other.png"] != places["a.png"] != places["photo.jpg"]


def test_a_pixel_of_another_value_moves_the_boxes():
    image = textured(5, 300, 420)
    changed = image.copy()
    changed[-1, -1, -1] ^= 1
    assert pixels_digest(image) != pixels_digest(changed)
    assert pixels_digest(image) == pixels_digest(np.asfortranarray(image))
    assert pixels_digest(np.zeros((4, 6, 3), np.uint8)) != pixels_digest(np.zeros((6, 4, 3), np.uint8))


def test_the_digest_of_a_jpeg_does_not_depend_on_vector_instructions(tmp_path):
    content = stored(Image.fromarray(textured(5, 133, 205)), "JPEG", quality=75)
    (tmp_path / "a.jpg").write_bytes(content)
    program = (
        "import pathlib, sys\n"
        "from data.hashing import pixels_digest\n"
        "from data.imaging.decode import decode\n"
        "print(pixels_digest(decode(pathlib.Path(sys.argv[1]).read_bytes())))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.jpg")]
    plain = subprocess.run(
        command, env=os.environ | {"JSIMD_FORCENONE": "1"}, capture_output=True, text=True, check=True
    )
    assert plain.stdout.strip() == pixels_digest(decode(content))
    assert np.array_equal(decode(content), np.asarray(Image.open(io.BytesIO(content))))
