import numpy as np
import pytest
import torch
from images import textured
from PIL import Image

from sr.distributed.ranks import Rank
from sr.evaluation.metrics import PSNR_CAP_DB, psnr
from sr.pairs.batches import Batch
from sr.training.validation import bicubic_psnr_db, psnr_db

ALONE = Rank(0, 1, torch.device("cpu"))


def to_tensor(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def test_psnr_equals_that_of_the_evaluation():
    first, second = [textured(seed, 40, 56) for seed in (1, 2)], [textured(seed, 40, 56) for seed in (3, 4)]
    found = psnr_db(to_tensor(*first), to_tensor(*second))
    assert found.tolist() == pytest.approx(
        [psnr(*pair) for pair in zip(first, second, strict=True)], abs=1e-9
    )


def test_equal_images_do_not_make_the_mean_infinite():
    image = to_tensor(textured(1, 16, 16))
    assert psnr_db(image, image).tolist() == [PSNR_CAP_DB]


def test_bicubic_is_pillows():
    lr_image, hr_image = textured(1, 20, 24), textured(2, 40, 48)
    expected = np.asarray(Image.fromarray(lr_image).resize((48, 40), Image.BICUBIC))
    batch = Batch(to_tensor(lr_image), to_tensor(hr_image))
    assert bicubic_psnr_db(2, [batch], ALONE) == pytest.approx(psnr(expected, hr_image), abs=1e-9)


def test_the_mean_is_over_images_of_all_ranks(monkeypatch):
    # The other rank has one image of 20 dB.
    monkeypatch.setattr(Rank, "sum", lambda rank, values: [values[0] + 20.0, values[1] + 1])
    lr_image, hr_images = textured(1, 20, 24), [textured(seed, 40, 48) for seed in (2, 3)]
    batches = [Batch(to_tensor(lr_image), to_tensor(one)) for one in hr_images]
    upscaled = np.asarray(Image.fromarray(lr_image).resize((48, 40), Image.BICUBIC))
    expected = (sum(psnr(upscaled, one) for one in hr_images) + 20.0) / 3
    assert bicubic_psnr_db(2, batches, ALONE) == pytest.approx(expected, abs=1e-9)
