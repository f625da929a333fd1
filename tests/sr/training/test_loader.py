import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from selections import SELECTION_HASH, picture_of, write_selection

from data.errors import UserError
from data.records import TrainingJob
from sr.selection import open_split
from sr.training.loader import TrainingStream, ValidationSet

SIDE_PX, PATCH_PX = 96, 32
CPU = torch.device("cpu")
JOB = TrainingJob(
    "realtime-x2", "selection.json", SELECTION_HASH, patch_px=PATCH_PX, micro_batch=4, rotate_probability=0.7
)


@pytest.fixture(scope="module")
def selection(tmp_path_factory):
    return write_selection(tmp_path_factory.mktemp("selection"), (7, 6), (4, 3), SIDE_PX)


@pytest.fixture
def split(selection):
    return open_split(selection, "train")


def stream_of(split, job=JOB, lanes=(0,), scale=2, states=None):
    return TrainingStream(split, job, scale, 2, lanes, CPU, 1, states)


def take(stream, count):
    return [next(stream) for _ in range(count)]


def same(first, second):
    return (
        first.keys == second.keys
        and torch.equal(first.low, second.low)
        and torch.equal(first.high, second.high)
    )


def key_of(place: str) -> str:
    return place.rsplit(":", 1)[1].removesuffix(".png")


def test_the_same_seed_gives_the_same_batches(split):
    assert all(map(same, take(stream_of(split), 6), take(stream_of(split), 6)))


def test_another_seed_gives_others(split):
    other = stream_of(split, dataclasses.replace(JOB, seed=1))
    assert not any(map(same, take(stream_of(split), 3), take(other, 3)))


@pytest.mark.parametrize("taken", [1, 5, 9])
def test_a_restored_position_gives_the_batches_that_would_have_come(split, taken):
    stream = stream_of(split)
    take(stream, taken)
    states = stream.states()
    expected = take(stream, 8)
    assert all(map(same, expected, take(stream_of(split, states=states), 8)))


def test_a_step_sees_the_same_pictures_on_one_rank_and_on_two(split):
    job = dataclasses.replace(JOB, accumulation=2)
    alone = stream_of(split, job, (0, 1))
    first, second = stream_of(split, job, (0,)), stream_of(split, job, (1,))
    for _ in range(6):
        assert same(next(alone), next(first))
        assert same(next(alone), next(second))


def test_a_position_is_not_told_within_a_step(split):
    stream = stream_of(split, dataclasses.replace(JOB, accumulation=2), (0, 1))
    next(stream)
    with pytest.raises(RuntimeError, match="middle"):
        stream.states()


def test_lanes_go_through_all_samples(split):
    job = dataclasses.replace(JOB, accumulation=2)
    keys = {key_of(place) for batch in take(stream_of(split, job, (0, 1)), 26) for place in batch.keys}
    assert len(keys) == 13


def variants_of(picture):
    """All eight turns and reflections of a picture."""
    for flipped in (picture, picture[:, ::-1]):
        for quarter_turns in range(4):
            yield np.rot90(flipped, quarter_turns)


def find_patch(picture, patch):
    """Return the top left corner of `patch` in `picture`, or None."""
    side = patch.shape[0]
    tops, lefts = np.nonzero((picture[: 1 - side, : 1 - side] == patch[0, 0]).all(axis=2))
    for top, left in zip(tops, lefts, strict=True):
        if np.array_equal(picture[top : top + side, left : left + side], patch):
            return top, left
    return None


@pytest.mark.parametrize("scale", [2, 4])
def test_augmented_pairs_are_pixels_of_the_picture_and_their_bicubic(split, scale):
    job = dataclasses.replace(JOB, brightness_probability=0.0, micro_batch=8)
    batch = next(stream_of(split, job, scale=scale))
    margin_px = 2 * scale
    seen = set()
    for low, high, place in zip(batch.low, batch.high, batch.keys, strict=True):
        low, high = low.permute(1, 2, 0).numpy(), high.permute(1, 2, 0).numpy()
        picture = picture_of(key_of(place), SIDE_PX)
        found = [
            (turn, *at) for turn, one in enumerate(variants_of(picture)) if (at := find_patch(one, high))
        ]
        assert len(found) == 1
        turn, top, left = found[0]
        whole = list(variants_of(picture))[turn]
        side_px = PATCH_PX + 2 * margin_px
        around = whole[
            top - margin_px : top - margin_px + side_px, left - margin_px : left - margin_px + side_px
        ]
        reduced = Image.fromarray(np.ascontiguousarray(around)).resize([side_px // scale] * 2, Image.BICUBIC)
        expected = np.asarray(reduced)[2:-2, 2:-2].astype(int)
        assert np.abs(low - expected).max() <= 1
        seen.add(turn)
    assert len(seen) > 2


def test_brightness_comes_before_the_reduction(split):
    job = dataclasses.replace(
        JOB, brightness_probability=1.0, brightness_min=1.5, brightness_max=1.6, micro_batch=8
    )
    dark = next(stream_of(split, dataclasses.replace(job, brightness_min=1.0, brightness_max=1.0)))
    bright = next(stream_of(split, job))
    assert bright.keys == dark.keys
    raised = bright.high.float() - (dark.high.float() * 1.5)
    assert (raised[bright.high < 255] > -1.0).all()
    for low, high in zip(bright.low, bright.high, strict=True):
        for low_channel, channel in zip(low.numpy(), high.numpy(), strict=True):
            # In float, since Pillow clips between its two passes, which shows where levels saturate.
            reduced = Image.fromarray(channel.astype(np.float32)).resize([PATCH_PX // 2] * 2, Image.BICUBIC)
            difference = np.asarray(reduced).clip(0, 255) - low_channel
            # Around the patch, `low` knows pixels that Pillow is not shown here.
            assert np.abs(difference[2:-2, 2:-2]).max() < 0.51


def test_without_probabilities_nothing_is_changed(split):
    still = dataclasses.replace(JOB, rotate_probability=0.0, flip_probability=0.0, brightness_probability=0.0)
    batch = next(stream_of(split, still))
    for high, place in zip(batch.high, batch.keys, strict=True):
        assert find_patch(picture_of(key_of(place), SIDE_PX), high.permute(1, 2, 0).numpy())


def test_batches_are_channels_last_bytes(split):
    batch = next(stream_of(split))
    assert batch.low.shape == (4, 3, 16, 16) and batch.high.shape == (4, 3, 32, 32)
    assert batch.low.dtype == batch.high.dtype == torch.uint8
    assert batch.high.is_contiguous(memory_format=torch.channels_last)


def test_several_patches_of_a_picture_are_cut_independently(split):
    job = dataclasses.replace(JOB, patches_per_picture=2)
    stream = stream_of(split, job)
    batch = next(stream)
    assert batch.high.shape[0] == 4 and batch.keys[:2] == batch.keys[2:] and len(set(batch.keys)) == 2
    assert not torch.equal(batch.high[0], batch.high[2])
    states = stream.states()
    assert all(map(same, take(stream, 5), take(stream_of(split, job, states=states), 5)))


def test_a_whole_crop_can_be_the_patch(split):
    assert next(stream_of(split, dataclasses.replace(JOB, patch_px=SIDE_PX))).low.shape[2:] == (48, 48)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"patch_px": 97}, "97 px"),
        ({"patch_px": 34}, "34 px"),
        ({"micro_batch": 0}, "0 and"),
        ({"accumulation": 14}, "13"),
    ],
)
def test_settings_that_cannot_be_are_refused(split, change, wrong):
    job = dataclasses.replace(JOB, **change)
    with pytest.raises(UserError, match=wrong):
        stream_of(split, job, range(job.accumulation))


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_validation_sees_each_picture_once_in_every_pass(selection, ranks):
    split = open_split(selection, "validation")
    shares = [ValidationSet(split, 2, 2, 2, rank, ranks, CPU, 1) for rank in range(ranks)]
    for _ in range(2):
        batches = [batch for share in shares for batch in share]
        keys = [key_of(place) for batch in batches for place in batch.keys]
        assert sorted(keys) == sorted(
            f"validation-{shard}-{i}" for shard, n in ((0, 4), (1, 3)) for i in range(n)
        )
        highs = torch.cat([batch.high for batch in batches])
        for key, high in zip(keys, highs, strict=True):
            assert np.array_equal(high.permute(1, 2, 0).numpy(), picture_of(key, SIDE_PX))


def test_validation_pictures_are_cut_to_fit(selection):
    validation = ValidationSet(open_split(selection, "validation"), 3, 10, 4, 0, 1, CPU, 1)
    batch = next(iter(validation))
    assert batch.high.shape[2:] == (90, 90) and batch.low.shape[2:] == (30, 30)
    assert np.array_equal(
        batch.high[0].permute(1, 2, 0).numpy(), picture_of(key_of(batch.keys[0]), SIDE_PX)[3:93, 3:93]
    )
