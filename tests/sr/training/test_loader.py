import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from selections import SELECTION_HASH, image_of, write_selection

from data.dali_index import read_index
from data.errors import UserError
from data.selection import open_split
from sr.training.job import TrainingJob
from sr.training.loader import TrainingStream, ValidationSet
from sr.training.pairs import Augmentation, cut_batch, cut_pair, draw_augmentation
from sr.training.readers import READERS

SIDE_PX, PATCH_PX = 96, 32
CPU = torch.device("cpu")
JOB = TrainingJob(
    "realtime-x2",
    "selection.json",
    SELECTION_HASH,
    patch_px=PATCH_PX,
    micro_batch_size=4,
    rotate_probability=0.7,
)


@pytest.fixture(scope="module")
def selection(tmp_path_factory):
    return write_selection(tmp_path_factory.mktemp("selection"), (7, 6), (4, 3), SIDE_PX)


@pytest.fixture
def split(selection):
    return open_split(selection, "train")


@pytest.fixture(params=READERS)
def job(request):
    return dataclasses.replace(JOB, loader=request.param)


def stream_of(split, job=JOB, partitions=(0,), scale=2, positions=None):
    return TrainingStream(split, job, scale, 2, partitions, CPU, 1, positions)


def take(stream, count):
    return [next(stream) for _ in range(count)]


def same(first, second):
    return (
        first.keys == second.keys
        and torch.equal(first.lr_image, second.lr_image)
        and torch.equal(first.hr_image, second.hr_image)
    )


def key_of(location: str) -> str:
    return location.rsplit(":", 1)[1].removesuffix(".png")


def test_the_same_seed_gives_the_same_batches(split, job):
    first, second = stream_of(split, job), stream_of(split, job)
    assert all(map(same, take(first, 6), take(second, 6)))


def test_another_seed_gives_others(split, job):
    other = stream_of(split, dataclasses.replace(job, seed=1))
    assert not any(map(same, take(stream_of(split, job), 3), take(other, 3)))


@pytest.mark.parametrize("taken", [1, 5, 9])
def test_a_restored_position_gives_the_batches_that_would_have_followed(split, job, taken):
    stream = stream_of(split, job)
    take(stream, taken)
    positions = stream.positions()
    expected = take(stream, 8)
    assert all(map(same, expected, take(stream_of(split, job, positions=positions), 8)))


def test_a_step_sees_the_same_images_on_one_rank_and_on_two(split, job):
    job = dataclasses.replace(job, gradient_accumulation_steps=2)
    alone = stream_of(split, job, (0, 1))
    first, second = stream_of(split, job, (0,)), stream_of(split, job, (1,))
    for _ in range(6):
        assert same(next(alone), next(first))
        assert same(next(alone), next(second))


def test_positions_cannot_be_saved_within_a_step(split):
    stream = stream_of(split, dataclasses.replace(JOB, gradient_accumulation_steps=2), (0, 1))
    next(stream)
    with pytest.raises(RuntimeError, match="middle of a step"):
        stream.positions()


def test_the_partitions_go_through_all_samples(split, job):
    job = dataclasses.replace(job, gradient_accumulation_steps=2)
    batches = take(stream_of(split, job, (0, 1)), 26)
    keys = {key_of(location) for batch in batches for location in batch.keys}
    assert len(keys) == 13


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
    split, job, scale, patches, patch_px, brightness
):
    job = dataclasses.replace(
        job,
        micro_batch_size=8,
        patches_per_image=patches,
        patch_px=patch_px,
        brightness_probability=1.0,
        brightness_min=brightness,
        brightness_max=brightness,
    )
    batch = next(stream_of(split, job, scale=scale))
    margin_px = 0 if patch_px == SIDE_PX else 2 * scale
    seen = set()
    for lr_image, hr_image, location in zip(batch.lr_image, batch.hr_image, batch.keys, strict=True):
        lr_image, hr_image = lr_image.permute(1, 2, 0).numpy(), hr_image.permute(1, 2, 0).numpy()
        image = np.rint(image_of(key_of(location), SIDE_PX) * brightness).clip(0, 255).astype(np.uint8)
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


def test_both_loaders_give_the_same_images_without_augmentation(split):
    still = {"rotate_probability": 0.0, "flip_probability": 0.0, "brightness_probability": 0.0}
    given = []
    for loader in READERS:
        job = dataclasses.replace(JOB, loader=loader, patch_px=SIDE_PX, **still)
        batches = take(stream_of(split, job), 26)
        pairs = (zip(batch.keys, batch.lr_image, batch.hr_image, strict=True) for batch in batches)
        given.append({key: (lr_image, hr_image) for several in pairs for key, lr_image, hr_image in several})
    dali, plain = given
    assert dali.keys() == plain.keys() and len(dali) == 13
    for key, pair in dali.items():
        assert all(torch.equal(one, other) for one, other in zip(pair, plain[key], strict=True))
        assert np.array_equal(pair[1].permute(1, 2, 0).numpy(), image_of(key_of(key), SIDE_PX))


@pytest.mark.parametrize("scale", [2, 4])
def test_pairs_cut_on_a_device_equal_those_cut_in_memory(scale):
    job = dataclasses.replace(JOB, brightness_probability=0.5, rotate_probability=1.0)
    images = np.stack([image_of(f"train-0-{number}", SIDE_PX) for number in range(4)])
    augmentations = [draw_augmentation(job, 0, 0, index) for index in range(24)]
    lr_image, hr_image = cut_batch(torch.from_numpy(images), augmentations, PATCH_PX, scale)
    assert {(one.quarter_turns, one.flipped) for one in augmentations} >= {(1, False), (2, True), (3, False)}
    for index, augmentation in enumerate(augmentations):
        expected = cut_pair(images[index % 4], augmentation, PATCH_PX, scale)
        for found, image in zip((lr_image[index], hr_image[index]), expected, strict=True):
            assert np.abs(found.permute(1, 2, 0).numpy() - image.astype(int)).max() <= 1


def test_without_probabilities_nothing_changes(split):
    still = dataclasses.replace(JOB, rotate_probability=0.0, flip_probability=0.0, brightness_probability=0.0)
    batch = next(stream_of(split, still))
    for hr_image, location in zip(batch.hr_image, batch.keys, strict=True):
        assert find_patch(image_of(key_of(location), SIDE_PX), hr_image.permute(1, 2, 0).numpy())


def test_batches_are_uint8_and_channels_last(split):
    batch = next(stream_of(split))
    assert batch.lr_image.shape == (4, 3, 16, 16) and batch.hr_image.shape == (4, 3, 32, 32)
    assert batch.lr_image.dtype == batch.hr_image.dtype == torch.uint8
    assert batch.hr_image.is_contiguous(memory_format=torch.channels_last)


def test_several_patches_of_an_image_are_cut_independently(split, job):
    job = dataclasses.replace(job, patches_per_image=2)
    stream = stream_of(split, job)
    batch = next(stream)
    assert batch.hr_image.shape[0] == 4 and batch.keys[:2] == batch.keys[2:] and len(set(batch.keys)) == 2
    assert not torch.equal(batch.hr_image[0], batch.hr_image[2])
    positions = stream.positions()
    assert all(map(same, take(stream, 5), take(stream_of(split, job, positions=positions), 5)))


DEGRADATION = "bicubic,blur@1,noise@1,jpeg:30-60@1,codec@0.5"


def test_degraded_pairs_depend_only_on_their_number(split, job):
    job = dataclasses.replace(job, degradation=DEGRADATION, gradient_accumulation_steps=2)
    alone = TrainingStream(split, job, 2, 2, (0, 1), CPU, 3)
    expected = take(alone, 6)
    first, second = stream_of(split, job, (0,)), stream_of(split, job, (1,))
    assert all(map(same, expected[0:2], [next(first), next(second)]))
    positions = first.positions() | second.positions()
    assert all(map(same, expected[2:], take(stream_of(split, job, (0, 1), positions=positions), 4)))


def test_a_degradation_changes_only_lr_images(split):
    degraded_job = dataclasses.replace(JOB, degradation="bicubic,noise:2-8@1,codec@1")
    plain, degraded = next(stream_of(split)), next(stream_of(split, degraded_job))
    assert torch.equal(plain.hr_image, degraded.hr_image) and plain.keys == degraded.keys
    difference = (plain.lr_image.float() - degraded.lr_image.float()).square().mean(dim=(1, 2, 3))
    assert (difference > 4).all()


def test_blur_precedes_downscaling_and_sees_beyond_the_patch():
    image, middle = image_of("train-0-0", SIDE_PX), Augmentation(0.5, 0.5, 0, False, 1.0)
    lr_image, hr_image = cut_pair(image, middle, PATCH_PX, 2, 1.0, 4)
    expected = pillow_downscale(cv2.GaussianBlur(image, (0, 0), 1.0), 2)[16:32, 16:32]
    assert np.array_equal(hr_image, image[32:64, 32:64])
    assert np.abs(lr_image - expected.astype(int)).max() <= 1


STAGES = "16:0.25,24:0.5"


def test_patches_grow_by_stages_and_a_run_resumes_across_them(split, job):
    job = dataclasses.replace(job, patch_stages=STAGES, degradation="bicubic,noise")
    stream = TrainingStream(split, job, 2, 2, (0,), CPU, 1, total_steps=8)
    batches, positions = [], []
    for _ in range(8):
        positions.append(stream.positions())
        batches.append(next(stream))
    assert [batch.hr_image.shape[2] for batch in batches] == [16, 16, 24, 24, 24, 24, 32, 32]
    for taken in (1, 2, 5, 6):
        again = TrainingStream(split, job, 2, 2, (0,), CPU, 1, positions[taken], 8)
        assert all(map(same, batches[taken:], take(again, 8 - taken)))


def test_a_position_of_an_older_version_is_refused(split):
    with pytest.raises(UserError, match="older version"):
        stream_of(split, positions={0: b"\x08\x01"})


@pytest.fixture
def damaged_split(tmp_path):
    path = write_selection(tmp_path, (5, 4), (2,), SIDE_PX)
    split = open_split(path, "train")
    line = read_index(Path(split.indexes[1]))[2]
    _, offset, size, _ = line.components[0]
    with open(split.tars[1], "r+b") as tar:
        tar.seek(offset + size // 2)
        tar.write(bytes(size // 4))
    return split


def test_a_damaged_image_is_reported_with_its_shard(damaged_split, job):
    with pytest.raises(
        UserError, match=r"train-000001\.tar is damaged: train-1-2\.png .*Run VerifyDataset"
    ) as failure:
        take(stream_of(damaged_split, job), 6)
    assert len(str(failure.value)) < 600


def test_a_whole_crop_can_be_the_patch(split):
    assert next(stream_of(split, dataclasses.replace(JOB, patch_px=SIDE_PX))).lr_image.shape[2:] == (48, 48)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"patch_px": 97}, "97 px"),
        ({"patch_px": 34}, "34 px"),
        ({"gradient_accumulation_steps": 14}, "13 training samples"),
        ({"patch_stages": "18:0.5"}, "18 px"),
    ],
)
def test_settings_that_do_not_fit_the_split_are_refused(split, change, wrong):
    job = dataclasses.replace(JOB, **change)
    with pytest.raises(UserError, match=wrong):
        stream_of(split, job, range(job.gradient_accumulation_steps))


@pytest.mark.parametrize("loader", ["dali", "torch"])
def test_more_ranks_than_validation_images_are_refused(selection, loader):
    split = open_split(selection, "validation")
    job = dataclasses.replace(JOB, loader=loader)
    with pytest.raises(
        UserError, match=f"{split.samples} validation samples, too few for {split.samples + 1} ranks"
    ):
        ValidationSet(split, job, 2, 2, 4, 0, split.samples + 1, CPU, 1)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_validation_sees_each_image_once_in_every_pass(selection, job, world_size):
    split = open_split(selection, "validation")
    shares = [ValidationSet(split, job, 2, 2, 2, rank, world_size, CPU, 1) for rank in range(world_size)]
    for _ in range(2):
        batches = [batch for share in shares for batch in share]
        keys = [key_of(location) for batch in batches for location in batch.keys]
        assert sorted(keys) == sorted(
            f"validation-{shard}-{i}" for shard, n in ((0, 4), (1, 3)) for i in range(n)
        )
        hr_images = torch.cat([batch.hr_image for batch in batches])
        for key, hr_image in zip(keys, hr_images, strict=True):
            assert np.array_equal(hr_image.permute(1, 2, 0).numpy(), image_of(key, SIDE_PX))


def test_validation_images_are_cut_to_a_multiple(selection):
    validation = ValidationSet(open_split(selection, "validation"), JOB, 3, 10, 4, 0, 1, CPU, 1)
    batch = next(iter(validation))
    assert batch.hr_image.shape[2:] == (90, 90) and batch.lr_image.shape[2:] == (30, 30)
    assert np.array_equal(
        batch.hr_image[0].permute(1, 2, 0).numpy(), image_of(key_of(batch.keys[0]), SIDE_PX)[3:93, 3:93]
    )


def test_validation_images_are_degraded_alike_on_any_number_of_ranks(selection):
    split, job = open_split(selection, "validation"), dataclasses.replace(JOB, degradation=DEGRADATION)
    alone = torch.cat([batch.lr_image for batch in ValidationSet(split, job, 2, 2, 4, 0, 1, CPU, 1)])
    shares = [ValidationSet(split, job, 2, 2, 2, rank, 2, CPU, 1) for rank in (0, 1)]
    assert torch.equal(alone, torch.cat([batch.lr_image for share in shares for batch in share]))
