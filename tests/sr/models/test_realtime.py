"""The realtime network starts as the exact bicubic upscaling, in any precision, and learns a residual."""

import numpy as np
import pytest
import torch
from PIL import Image

from sr.models.presets import ModelDescription
from sr.models.registry import build_network

MARGIN_PX = 4


def realtime(scale: int, **more: int):
    return build_network(
        ModelDescription("realtime", {"scale": scale, "layers": 3, "channels": 8, **more}, (0.0, 1.0))
    )


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def run(network, lr_image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(lr_image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()


def pillow_bicubic(lr_image: np.ndarray, scale: int) -> np.ndarray:
    """Upscale by Pillow's bicubic with repeated edges; Pillow itself would leave the missing pixels out."""
    padded = np.pad(lr_image, ((MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX), (0, 0)), mode="edge")
    size = (padded.shape[1] * scale, padded.shape[0] * scale)
    inside = slice(MARGIN_PX * scale, -MARGIN_PX * scale)
    return np.asarray(Image.fromarray(padded).resize(size, Image.Resampling.BICUBIC))[inside, inside]


@pytest.mark.parametrize("more", [{}, {"unshuffle": 4}, {"unshuffle": 4, "prelu": 1}])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_untrained_network_is_pillows_bicubic(scale, more):
    # Pillow rounds to bytes between its two passes, too: at most a level where nothing clips.
    lr_image = noise(16, 24) // 2 + 64
    difference = np.abs(run(realtime(scale, **more), lr_image).astype(int) - pillow_bicubic(lr_image, scale))
    assert difference.max() <= 1


@pytest.mark.parametrize("height_width", [(2, 2), (2, 6), (6, 2)])
def test_the_smallest_images_upscale_too(height_width):
    lr_image = noise(*height_width) // 2 + 64
    difference = np.abs(run(realtime(2), lr_image).astype(int) - pillow_bicubic(lr_image, 2))
    assert difference.max() <= 1


@pytest.mark.parametrize("more", [{}, {"unshuffle": 4, "prelu": 1}])
def test_the_upscaling_stays_exact_in_low_precision(more):
    lr_image = noise(16, 24)
    network = realtime(2, **more)
    expected = run(network, lr_image)
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(run(network, lr_image), expected)
    assert np.array_equal(run(network.bfloat16(), lr_image), expected)


def test_a_flat_image_stays_flat():
    for level in (0, 1, 128, 255):
        assert (run(realtime(2), np.full((8, 8, 3), level, np.uint8)) == level).all()


def test_colors_do_not_leak_into_each_other():
    lr_image = noise(8, 8)
    lr_image[..., 1:] = 0
    assert (run(realtime(2), lr_image)[..., 1:] == 0).all()


def test_the_fixed_kernel_is_neither_trained_nor_stored():
    network = realtime(2)
    assert all("upscaling" not in name for name, _ in network.named_parameters())
    assert all("upscaling" not in name for name in network.state_dict())


@pytest.mark.parametrize("prelu", [0, 1])
def test_training_reaches_every_layer(prelu):
    network = realtime(2, prelu=prelu)
    torch.nn.init.normal_(network.core.layers[-1].weight, generator=torch.Generator().manual_seed(1))
    lr_image = torch.from_numpy(noise(8, 8)).permute(2, 0, 1)[None]
    network.predict(lr_image).abs().mean().backward()
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters()
    )


def test_output_pixels_depend_on_nearby_input_pixels():
    """A changed LR pixel changes the HR image around itself: cells return to their places."""
    torch.manual_seed(1)
    network = realtime(2)
    torch.nn.init.normal_(network.core.layers[-1].weight, std=0.1)
    lr_image = np.full((40, 60, 3), 90, np.uint8)
    touched = lr_image.copy()
    touched[20, 31] = 200
    rows, columns, _ = np.nonzero(run(network, lr_image) != run(network, touched))
    # Three layers of 3x3 cells reach three cells, six LR pixels, beyond the pixel's own cell.
    assert rows.min() >= 2 * 14 and rows.max() < 2 * 28
    assert columns.min() >= 2 * 24 and columns.max() < 2 * 38
    assert abs(int(rows.mean()) - 41) <= 2 and abs(int(columns.mean()) - 62) <= 2
