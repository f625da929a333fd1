"""Measures the noise that int8 adds to a network, for several ways to quantize it, in OpenVINO.

    PYTHONPATH=. python tests/bench/int8_noise.py WEIGHTS --calibration DIR --images DIR [--crops 32]

Crops of 256 px of the images, halved, calibrate and measure. Noise is the root mean square of the difference to the
float model in levels, before rounding; the loss is that of PSNR (RGB). The ways: NNCF as it is; with the ranges of all
values; the same with weights rounded together, which is what ExportOpenVINO does.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from sr.evaluation.metrics import psnr
from sr.export.ir_graph import find_sensitive_operations
from sr.export.quantize import quantize
from sr.export.rounding import WeightRounding
from sr.export.to_onnx import export_onnx
from sr.models.checkpoint import export_checkpoint
from sr.runtime.openvino_runtime import openvino as ov

SIDE_PX = 256


def read_crops(folder: Path, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (LR, HR) of the centers of the first images of a folder, uint8."""
    for path in sorted(folder.iterdir())[:count]:
        image = np.array(Image.open(path).convert("RGB"))
        top, left = ((side - SIDE_PX) // 2 for side in image.shape[:2])
        hr_image = image[top : top + SIDE_PX, left : left + SIDE_PX]
        half = Image.fromarray(hr_image).resize((SIDE_PX // 2,) * 2, Image.Resampling.BICUBIC)
        yield np.array(half), hr_image


def run(model: ov.Model, lr_images: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return each image's levels before they are rounded, and after."""
    probe = model.clone()
    (rounded,) = [node for node in probe.get_ops() if node.get_type_name() == "Round"]
    probe.add_outputs([rounded.input_value(0)])
    compiled = ov.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = [list(compiled(image[None]).values()) for image in lr_images]
    return [(result[-1], result[0][0]) for result in results]


def ways(model: ov.Model, lr_images: list[np.ndarray]) -> Iterator[tuple[str, ov.Model]]:
    """Quantize a model in several ways."""
    sensitive = find_sensitive_operations(model)
    yield "NNCF as it is", quantize(model, lr_images, sensitive)[0]
    nearest, together = WeightRounding(model, lr_images), WeightRounding(model, lr_images)
    nearest.apply = lambda quantized: 0
    yield "ranges of all values", quantize(model, lr_images, sensitive, nearest)[0]
    yield "and weights rounded together", quantize(model, lr_images, sensitive, together)[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--crops", type=int, default=32, help="of each folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        export_checkpoint(options.weights, Path(scratch) / "model")
        export_onnx(Path(scratch) / "model", Path(scratch) / "onnx")
        model = ov.convert_model(Path(scratch) / "onnx" / "model.onnx")
    calibration = [lr_image for lr_image, _ in read_crops(options.calibration, options.crops)]
    lr_images, hr_images = zip(*read_crops(options.images, options.crops), strict=True)
    expected = run(model, lr_images)
    best = np.mean([psnr(image, hr) for (_, image), hr in zip(expected, hr_images, strict=True)])
    print(f"fp32 {best:.3f} dB\n\n| int8 | noise, levels | loss, dB |\n|---|---|---|")
    for name, quantized in ways(model, calibration):
        found = run(quantized, lr_images)
        noise = np.mean(
            [np.sqrt(np.mean((one[0] - other[0]) ** 2)) for one, other in zip(found, expected, strict=True)]
        )
        reached = np.mean([psnr(image, hr) for (_, image), hr in zip(found, hr_images, strict=True)])
        print(f"| {name} | {noise:.3f} | {best - reached:.3f} |", flush=True)


if __name__ == "__main__":
    main()
