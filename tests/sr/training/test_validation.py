import numpy as np
import pytest
import torch
from images import textured
from PIL import Image

from sr.distributed.ranks import Rank
from sr.evaluation.metrics import PSNR_CAP_DB, psnr
from sr.training.batches import Batch
from sr.training.validation import make_bicubic_upscaler, mean_psnr_db, psnr_db


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


def test_bicubic_equals_pillows():
    lr_image = textured(1, 20, 24)
    expected = np.asarray(Image.fromarray(lr_image).resize((48, 40), Image.BICUBIC))
    assert np.array_equal(make_bicubic_upscaler(2)(to_tensor(lr_image))[0].permute(1, 2, 0).numpy(), expected)


def test_the_mean_is_over_images_of_all_ranks(monkeypatch):
    # The other rank has one image of 20 dB.
    monkeypatch.setattr(Rank, "sum", lambda rank, values: [values[0] + 20.0, values[1] + 1])
    dark, gray = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
    batches = [Batch(dark, torch.cat([dark])), Batch(gray, dark)]
    assert mean_psnr_db(lambda lr_image: lr_image, batches, Rank(0, 2, torch.device("cpu"))) == pytest.approx(
        (PSNR_CAP_DB + 0 + 20) / 3
    )
