"""LPIPS equals a plain numpy implementation, on random weights of the right shapes."""

import numpy as np
import pytest
import torch
from images import textured

from data.catalog.resolve import resolve_dataset
from data.errors import UserError
from sr.evaluation.lpips import LINEAR, MIN_SIDE_PX, TRUNK, Lpips

SHAPES = {
    0: (64, 3, 11, 11),
    3: (192, 64, 5, 5),
    6: (384, 192, 3, 3),
    8: (256, 384, 3, 3),
    10: (256, 256, 3, 3),
}
STEPS = {0: (4, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)}
"""Stride and padding of AlexNet's convolutions; 3x3 max-pooling of stride 2 comes before numbers 3 and 6."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Write both files as they are published; return their directory and the tensors."""
    stream, root = np.random.default_rng(5), tmp_path_factory.mktemp("lpips")
    trunk = {"classifier.1.weight": np.zeros((2, 2), np.float32)}
    for number, shape in SHAPES.items():
        spread = np.prod(shape[1:]) ** -0.5
        trunk[f"features.{number}.weight"] = stream.normal(0, spread, shape).astype(np.float32)
        trunk[f"features.{number}.bias"] = stream.normal(0, 0.1, shape[0]).astype(np.float32)
    linear = {
        f"lin{place}.model.1.weight": stream.uniform(0, 0.1, (1, shape[0], 1, 1)).astype(np.float32)
        for place, shape in enumerate(SHAPES.values())
    }
    for name, tensors in ((TRUNK, trunk), (LINEAR, linear)):
        torch.save({key: torch.from_numpy(value) for key, value in tensors.items()}, root / name)
    return root, trunk, linear


def _windows(values, side, stride):
    view = np.lib.stride_tricks.sliding_window_view(values, (side, side), axis=(1, 2))
    return view[:, ::stride, ::stride]  # (channels, h, w, side, side)


def _by_numpy(first, second, trunk, linear):
    """Compute LPIPS v0.1 in float64, as the paper and the reference implementation describe it."""
    total = 0.0
    values = []
    for image in (first, second):
        scaled = image.transpose(2, 0, 1) / 255.0 * 2.0 - 1.0
        shift, scale = (np.reshape(v, (3, 1, 1)) for v in ((-0.03, -0.088, -0.188), (0.458, 0.448, 0.45)))
        values.append((scaled - shift) / scale)
    for place, (number, (stride, padding)) in enumerate(STEPS.items()):
        unit = []
        for index, plane in enumerate(values):
            if number in (3, 6):
                plane = _windows(plane, 3, 2).max(axis=(3, 4))
            weight, bias = (trunk[f"features.{number}.{part}"].astype(float) for part in ("weight", "bias"))
            padded = np.pad(plane, [(0, 0), (padding, padding), (padding, padding)])
            summed = np.einsum("chwij,ocij->ohw", _windows(padded, weight.shape[2], stride), weight)
            plane = values[index] = np.maximum(summed + bias[:, None, None], 0.0)
            unit.append(plane / (np.sqrt((plane**2).sum(axis=0)) + 1e-10))
        weighed = linear[f"lin{place}.model.1.weight"][0] * (unit[0] - unit[1]) ** 2
        total += weighed.sum(axis=0).mean()
    return total


@pytest.mark.parametrize("size", [(48, 67), (MIN_SIDE_PX, MIN_SIDE_PX)])
def test_lpips_equals_plain_numpy(weights, size):
    root, trunk, linear = weights
    first, second = textured(1, *size), textured(2, *size)
    lpips = Lpips(root)
    expected = _by_numpy(first, second, trunk, linear)
    assert expected > 0.05
    assert lpips.distance(lpips.features(first), second) == pytest.approx(expected, rel=1e-5)
    assert lpips.distance(lpips.features(second), first) == pytest.approx(expected, rel=1e-5)
    assert lpips.distance(lpips.features(first), first) == 0.0


def test_an_image_too_small_for_alexnet_raises(weights):
    with pytest.raises(ValueError, match="LPIPS needs images of at least 31x31 px, not 30x64"):
        Lpips(weights[0]).features(textured(1, 30, 64))


def test_missing_and_wrong_weights_are_explained(weights, tmp_path):
    with pytest.raises(UserError, match=r"alexnet-owt-7be5be79.pth.*Download --dataset LPIPS_AlexNet"):
        Lpips(tmp_path)
    (tmp_path / TRUNK).write_bytes((weights[0] / TRUNK).read_bytes())
    (tmp_path / LINEAR).write_bytes((weights[0] / TRUNK).read_bytes())
    with pytest.raises(UserError, match="alex.pth has no tensor lin0.model.1.weight"):
        Lpips(tmp_path)


def test_the_catalog_has_both_files():
    files = {file.name: file for file in resolve_dataset("LPIPS_AlexNet").files}
    assert set(files) == {TRUNK, LINEAR}
    assert files[TRUNK].sha256.startswith("7be5be79"), (
        "torchvision puts the beginning of the hash into the name"
    )
    assert all(len(file.sha256) == 64 and file.bytes for file in files.values())
