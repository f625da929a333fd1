"""With SR_SHARED: the pretrained checkpoint's fp32 and fp16 IR against torch on every LR image of Set5 and Set14."""

import numpy as np
import pytest

from data.imaging.decode import decode
from sr.evaluation import metrics
from sr.export.to_onnx import export_onnx
from sr.export.to_openvino import export_openvino
from sr.models.checkpoint import export_checkpoint
from sr.runtime.load import load_upscaler


@pytest.mark.slow
def test_irs_give_the_images_of_torch(shared, tmp_path):
    export_checkpoint(shared / "weights" / "vapsr3x3_x2.pth", tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "onnx")
    for precision in ("fp32", "fp16"):
        export_openvino(tmp_path / "onnx", tmp_path / precision, precision)
    torch, fp32, fp16 = (load_upscaler(tmp_path / name) for name in ("model", "fp32", "fp16"))
    losses = []
    for folder in ("Set5", "Set14"):
        root = shared / "images" / folder / "x2"
        for lr_path in sorted((root / "LR").iterdir()):
            lr_image, hr_image = (decode((root / kind / lr_path.name).read_bytes()) for kind in ("LR", "HR"))
            expected = torch(lr_image)
            assert np.abs(fp32(lr_image).astype(int) - expected).max() <= 1, lr_path
            ours, whole = (
                metrics.psnr(metrics.crop_border(hr_image, 2), metrics.crop_border(one, 2))
                for one in (fp16(lr_image), expected)
            )
            losses.append(whole - ours)
    assert sum(losses) / len(losses) <= 0.02
