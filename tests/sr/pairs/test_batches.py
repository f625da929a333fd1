import dataclasses
import itertools

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from selections import SELECTION_HASH, image_of, write_selection

from data.errors import UserError
from data.selection import open_split
from sr.distributed.ranks import Rank
from sr.pairs.batches import PairMaker, TrainingBatches, ValidationBatches
from sr.pairs.crop_cache import open_cache
from sr.pairs.crop_reader import CropReader
from sr.pairs.settings import check_patches
from sr.training.job import TrainingJob

SIDE_PX, PATCH_PX = 96, 32
CPU = torch.device("cpu")
ALONE = Rank(0, 1, CPU)
JOB = TrainingJob(
    "realtime-x2", "selection.json", SELECTION_HASH, patch_px=PATCH_PX, batch_size=4, rotate_probability=0.7
)
TRAINING_KEYS = [f"train-{shard}-{number}" for shard, count in ((0, 7), (1, 6)) for number in range(count)]


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    selection = write_selection(tmp_path_factory.mktemp("selection"), (7, 6), (4, 3), SIDE_PX)
    readers = {name: CropReader(open_split(selection, name), "opencv", 1) for name in ("train", "validation")}
    return {name: open_cache(reader, "memory", selection.parent, ALONE) for name, reader in readers.items()}


def batches_of(caches, job=JOB, rank=ALONE, scale=2, total_steps=0):
    maker = PairMaker(job, scale, CPU, 2)
    return TrainingBatches(caches["train"], job, maker, rank.share(job.batch_size), total_steps)


def validation_of(caches, job=JOB, rank=ALONE, scale=2, multiple=2):
    return ValidationBatches(caches["validation"], job.seed, PairMaker(job, scale, CPU, 2), multiple, rank)


def same(first, second):
    return torch.equal(first.lr_image, second.lr_image) and torch.equal(first.hr_image, second.hr_image)


def join(batches):
    return tuple(torch.cat([getattr(batch, name) for batch in batches]) for name in ("lr_image", "hr_image"))


DEGRADATION = "bicubic,blur@1,noise@1,jpeg:30-60@1,codec@0.5"


@pytest.mark.parametrize("degradation", ["bicubic", DEGRADATION])
@pytest.mark.parametrize("ahead", [False, True])
def test_a_step_gives_the_same_batch_however_it_is_reached(caches, degradation, ahead):
    job = dataclasses.replace(JOB, degradation=degradation)
    one_by_one, jumping = batches_of(caches, job), batches_of(caches, job)
    one_by_one._runs_ahead = ahead
    expected = [one_by_one.get(step) for step in range(6)]
    for step in (5, 2, 3, 0):
        assert same(jumping.get(step), expected[step])
    assert not any(same(one, other) for one, other in itertools.combinations(expected, 2))


@pytest.mark.parametrize("degradation", ["bicubic", DEGRADATION])
@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_share_the_batch_of_one(caches, degradation, world_size):
    job = dataclasses.replace(JOB, degradation=degradation)
    shares = [batches_of(caches, job, Rank(rank, world_size, CPU)) for rank in range(world_size)]
    for step in range(3):
        lr_image, hr_image = join([share.get(step) for share in shares])
        whole = batches_of(caches, job).get(step)
        assert torch.equal(whole.lr_image, lr_image) and torch.equal(whole.hr_image, hr_image)


def test_a_batch_splits_into_micro_batches(caches):
    batch = batches_of(caches).get(0)
    parts = batch.split(2)
    assert len(parts) == 2 and all(map(torch.equal, join(parts), (batch.lr_image, batch.hr_image)))


def variants_of(image):
    """All eight turns and reflections of an image."""
    for flipped in (image, image[:, ::-1]):
        for quarter_turns in range(4):
            yield np.rot90(flipped, quarter_turns)


def find_patch(image, patch):
    """Return the top left corner of `patch` in `image`, or None."""
    side = patch.shape[0]
    tops, lefts = np.nonzero((image[: 1 - side, : 1 - side] == patch[0, 0]).all(axis=2))
    for top, left in zip(tops, lefts, strict=True):
        if np.array_equal(image[top : top + side, left : left + side], patch):
            return top, left
    return None


def pillow_downscale(image, scale):
    height, width = image.shape[0] // scale, image.shape[1] // scale
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.BICUBIC))


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("patches", [1, 4])
@pytest.mark.parametrize("patch_px", [PATCH_PX, SIDE_PX])
@pytest.mark.parametrize("brightness", [1.0, 1.5])
def test_the_lr_image_is_the_bicubic_downscaling_of_the_hr_image_in_every_pair(
    caches, scale, patches, patch_px, brightness
):
    job = dataclasses.replace(
        JOB,
        batch_size=8,
        patches_per_image=patches,
        patch_px=patch_px,
        brightness_probability=1.0,
        brightness_min=brightness,
        brightness_max=brightness,
    )
    batches = batches_of(caches, job, scale=scale)
    batch, keys = batches.get(0), [place.split(":")[2] for place in batches.describe(0).split()]
    margin_px = 0 if patch_px == SIDE_PX else 2 * scale
    seen = set()
    for lr_image, hr_image, key in zip(batch.lr_image, batch.hr_image, keys, strict=True):
        lr_image, hr_image = lr_image.permute(1, 2, 0).numpy(), hr_image.permute(1, 2, 0).numpy()
        image = image_of(key.removesuffix(".png"), SIDE_PX)
        image = np.rint(image * brightness).clip(0, 255).astype(np.uint8)
        found = [
            (turn, *at) for turn, one in enumerate(variants_of(image)) if (at := find_patch(one, hr_image))
        ]
        assert len(found) == 1
        turn, top, left = found[0]
        whole = list(variants_of(image))[turn]
        side_px = patch_px + 2 * margin_px
        top, left, inner = top - margin_px, left - margin_px, margin_px // scale
        expected = pillow_downscale(whole[top : top + side_px, left : left + side_px], scale)
        expected = expected[inner : inner + patch_px // scale, inner : inner + patch_px // scale]
        assert np.abs(lr_image - expected.astype(int)).max() <= 1
        seen.add(turn)
    assert len(seen) > 2


def test_batches_are_uint8_and_channels_last(caches):
    batch = batches_of(caches).get(0)
    assert batch.lr_image.shape == (4, 3, 16, 16) and batch.hr_image.shape == (4, 3, 32, 32)
    for image in (batch.lr_image, batch.hr_image):
        assert image.dtype == torch.uint8 and image.is_contiguous(memory_format=torch.channels_last)


def test_a_degradation_changes_only_lr_images(caches):
    degraded_job = dataclasses.replace(JOB, degradation="bicubic,noise:2-8@1,codec@1")
    plain, degraded = batches_of(caches).get(0), batches_of(caches, degraded_job).get(0)
    assert torch.equal(plain.hr_image, degraded.hr_image)
    difference = (plain.lr_image.float() - degraded.lr_image.float()).square().mean(dim=(1, 2, 3))
    assert (difference > 4).all()


def test_blur_precedes_downscaling_and_sees_beyond_the_patch():
    image = image_of("train-0-0", SIDE_PX)
    maker = PairMaker(dataclasses.replace(JOB, degradation="bicubic,blur:1-1@1"), 2, CPU, 1)
    patches = maker.allocate(1, 48)
    patches[0] = torch.from_numpy(image[24:72, 24:72].copy())
    pair = maker.make(patches, 8, [(0, 0, 0)])
    expected = pillow_downscale(cv2.GaussianBlur(image, (0, 0), 1.0), 2)[16:32, 16:32]
    assert np.array_equal(pair.hr_image[0].permute(1, 2, 0).numpy(), image[32:64, 32:64])
    assert np.abs(pair.lr_image[0].permute(1, 2, 0).numpy() - expected.astype(int)).max() <= 1


def test_patches_grow_by_stages(caches):
    job = dataclasses.replace(JOB, patch_stages="16:0.25,24:0.5")
    batches = batches_of(caches, job, total_steps=8)
    sides = [batches.get(step).hr_image.shape[2] for step in range(8)]
    assert sides == [16, 16, 24, 24, 24, 24, 32, 32]


def test_a_whole_crop_can_be_the_patch(caches):
    batch = batches_of(caches, dataclasses.replace(JOB, patch_px=SIDE_PX)).get(0)
    assert batch.lr_image.shape[2:] == (48, 48)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [({"patch_px": 97}, "97 px"), ({"patch_px": 34}, "34 px"), ({"patch_stages": "18:0.5"}, "18 px")],
)
def test_patches_that_do_not_fit_are_refused(change, wrong):
    with pytest.raises(UserError, match=wrong):
        check_patches(dataclasses.replace(JOB, **change), 4, SIDE_PX)


def test_more_ranks_than_validation_images_are_refused(caches):
    with pytest.raises(UserError, match="7 validation samples, too few for 8 ranks"):
        validation_of(caches, rank=Rank(0, 8, CPU))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_validation_sees_each_image_once_in_every_pass(caches, world_size, monkeypatch):
    monkeypatch.setattr("sr.pairs.batches.VALIDATION_PIXELS", 2 * SIDE_PX**2)
    shares = [validation_of(caches, rank=Rank(rank, world_size, CPU)) for rank in range(world_size)]
    keys = [f"validation-{shard}-{number}" for shard, count in ((0, 4), (1, 3)) for number in range(count)]
    for _ in range(2):
        batches = [batch for share in shares for batch in share]
        assert max(len(batch.hr_image) for batch in batches) == 2
        for key, hr_image in zip(keys, join(batches)[1], strict=True):
            assert np.array_equal(hr_image.permute(1, 2, 0).numpy(), image_of(key, SIDE_PX))
    assert same(shares[0].first(), next(iter(shares[0])))


def test_validation_images_are_cut_to_a_multiple(caches):
    batch = next(iter(validation_of(caches, scale=3, multiple=10)))
    assert batch.hr_image.shape[2:] == (90, 90) and batch.lr_image.shape[2:] == (30, 30)
    expected = image_of("validation-0-0", SIDE_PX)[3:93, 3:93]
    assert np.array_equal(batch.hr_image[0].permute(1, 2, 0).numpy(), expected)


def test_validation_images_are_degraded_the_same_way_in_each_pass(caches):
    job = dataclasses.replace(JOB, degradation=DEGRADATION)
    validation = validation_of(caches, job)
    first, second = join(list(validation)), join(list(validation))
    assert all(map(torch.equal, first, second))
    assert not torch.equal(first[0], join(list(validation_of(caches)))[0])
    ranks = [Rank(rank, 2, CPU) for rank in range(2)]
    shared = join([batch for rank in ranks for batch in validation_of(caches, job, rank)])
    assert all(map(torch.equal, first, shared))
