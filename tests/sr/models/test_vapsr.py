"""VapSR matches the published checkpoints: tensor names, blocks and PSNR."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sr.models.presets import find_preset
from sr.models.registry import build_network, recognize
from sr.models.vapsr import AttentionBlock, VapSR


def test_tensors_have_their_published_names():
    names = set(VapSR(scale=4, features=8, blocks=1, attention=6).state_dict())
    block = [
        "proj_1",
        "atten_branch.pointwise",
        "atten_branch.depthwise",
        "atten_branch.depthwise_dilated",
        "proj_2",
        "pixel_norm",
    ]
    modules = ["conv_first", *(f"body.0.{name}" for name in block), "conv_body", "upsampler.0", "upsampler.3"]
    assert names == {f"{module}.{kind}" for module in modules for kind in ("weight", "bias")}


@pytest.mark.parametrize(("preset", "scale"), [("vapsr-x2", 2), ("vapsr-x3", 3), ("vapsr-s-x4", 4)])
def test_images_of_any_size_are_upscaled(preset, scale):
    lr_image = torch.randint(
        0, 256, (2, 3, 5, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(2)
    )
    with torch.inference_mode():
        hr_image = build_network(find_preset(preset))(lr_image)
    assert (hr_image.shape, hr_image.dtype) == ((2, 3, 5 * scale, 8 * scale), torch.uint8)


def test_a_block_normalizes_the_features_of_each_pixel():
    torch.manual_seed(0)
    block = AttentionBlock(features=8, attention=6, projection=1)
    features = torch.randn(1, 8, 4, 5)
    inner = block.atten_branch(torch.nn.functional.gelu(block.proj_1(features)))
    summed = features + block.proj_2(inner)
    expected = (summed - summed.mean(1, keepdim=True)) / (
        summed.var(1, keepdim=True, unbiased=False) + 1e-5
    ).sqrt()
    torch.testing.assert_close(block(features), expected)


def test_attention_sees_seventeen_pixels_around():
    torch.manual_seed(0)
    attention = AttentionBlock(features=2, attention=3, projection=1).atten_branch
    features = torch.ones(1, 3, 31, 31, requires_grad=True)
    attention(features)[0, 0, 15, 15].backward()
    rows, columns = features.grad[0].abs().sum(0).nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (7, 23, 7, 23)


def _luma(image: np.ndarray) -> np.ndarray:
    return 16 + image.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


@pytest.mark.skipif(
    "SR_SHARED" not in os.environ, reason="SR_SHARED names no folder with weights and benchmark images"
)
def test_published_weights_give_their_measured_psnr_on_set5():
    shared = Path(os.environ["SR_SHARED"])
    weights = torch.load(shared / "weights/vapsr3x3_x2.pth", map_location="cpu", weights_only=True)
    network = build_network(recognize(weights)).eval()
    network.core.load_state_dict(weights, strict=True)
    assert network.description.preset == "vapsr3x3-x2"
    psnrs_db = []
    for path in sorted((shared / "images/Set5/x2/LR").iterdir()):
        lr_image = np.array(Image.open(path).convert("RGB"))
        with torch.inference_mode():
            hr_image = network(torch.from_numpy(lr_image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        truth = np.array(Image.open(path.parents[1] / "HR" / path.name).convert("RGB"))[
            : hr_image.shape[0], : hr_image.shape[1]
        ]
        error = (_luma(hr_image) - _luma(truth))[2:-2, 2:-2]
        psnrs_db.append(10 * np.log10(255**2 / np.mean(error**2)))
    assert len(psnrs_db) == 5
    assert np.mean(psnrs_db) == pytest.approx(38.099, abs=0.002)
