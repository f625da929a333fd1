"""Checkpoints of other networks, by spandrel: evaluated, exported, in tiles; and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from images import textured
from other_networks import make_weights
from torchvision_operators import import_torchvision

from data.errors import UserError
from sr.export.settings import Int8Settings
from sr.export.to_interchange import export_interchange
from sr.export.to_onnx import export_onnx
from sr.export.to_openvino import export_openvino
from sr.models import checkpoint, spandrel_models
from sr.models.checkpoint import export_checkpoint
from sr.runtime.load import load_upscaler


@pytest.fixture(autouse=True, scope="module")
def spandrel_module():
    """Import spandrel, beside whatever torch there is."""
    import_torchvision()
    pytest.importorskip("spandrel")


def save(folder, name, **changes):
    """Write a checkpoint as trainers do; return its path."""
    torch.save({"params": None, "params_ema": make_weights(name, **changes)}, folder / f"{name}.pth")
    return folder / f"{name}.pth"


def call_spandrel(weights, lr_image):
    """Return what spandrel itself makes of an image."""
    from spandrel import MAIN_REGISTRY

    image = torch.from_numpy(lr_image).permute(2, 0, 1)[None].float() / 255
    hr_image = MAIN_REGISTRY.load(weights).eval()(image)[0]
    return np.rint(hr_image.permute(1, 2, 0).numpy() * 255).astype(int)


@pytest.mark.parametrize("name", ["Compact", "SPAN", "ESRGAN", "PLKSR", "SAFMN", "SwinIR"])
def test_a_checkpoint_gives_the_image_that_spandrel_makes(name, tmp_path):
    upscaler = load_upscaler(save(tmp_path, name))
    for height, width in ((37, 45), (9, 21)):  # padded where the network needs it, by reflection
        lr_image = textured(1, height, width)
        expected = call_spandrel(make_weights(name), lr_image)
        assert np.abs(upscaler(lr_image) - expected).max() <= 1
    if name in ("Compact", "SPAN"):
        large = textured(2, 150, 190)
        whole = upscaler(large).astype(int)
        upscaler.tile_px = 128
        assert np.abs(upscaler(large) - whole).max() <= 1, "no seams"


def test_names_that_are_not_text_are_refused(tmp_path):
    torch.save({0: torch.zeros(3), "module.x": torch.zeros(3)}, tmp_path / "odd.pth")
    with pytest.raises(
        UserError, match=r"named tensors.*spandrel finds no named tensors in it \(AttributeError"
    ):
        export_checkpoint(tmp_path / "odd.pth", tmp_path / "model")


def test_it_is_exported_to_onnx_and_openvino(tmp_path, crops):
    record = export_checkpoint(save(tmp_path, "Compact"), tmp_path / "model")
    assert (record["architecture"], record["preset"], record["scale"]) == ("spandrel", "Compact", 2)
    export_onnx(tmp_path / "model", tmp_path / "onnx")
    export_interchange(tmp_path / "model", tmp_path / "interchange", precision="fp16")
    settings = Int8Settings(calibration_crops=4, held_out_crops=2)
    for precision in ("fp16", "int8"):
        export_openvino(
            tmp_path / "onnx",
            tmp_path / precision,
            precision,
            calibration=crops,
            settings=settings,
            model_dir=tmp_path / "model",
        )
    lr_image = textured(4, 41, 50)
    expected = call_spandrel(make_weights("Compact"), lr_image)
    for kind, most in (("onnx", 1), ("interchange", 2), ("fp16", 3), ("int8", 12)):
        upscaler = load_upscaler(tmp_path / kind)
        difference = np.abs(upscaler(lr_image) - expected)
        assert difference.max() <= most and difference.mean() < 1.5, kind
        assert upscaler.name.startswith("Compact") or kind == "interchange"
    assert record["spandrel"] and record["supports_half"] is True


def test_other_channels_and_scales(tmp_path):
    """Networks of gray images upscale each color; networks of scale 1 give an image of the same size."""
    lr_image = textured(6, 24, 31)
    gray = load_upscaler(save(tmp_path, "Compact", num_in_ch=1, num_out_ch=1))(lr_image)
    weights = make_weights("Compact", num_in_ch=1, num_out_ch=1)
    each = [call_spandrel(weights, lr_image[..., color : color + 1]) for color in range(3)]
    assert np.abs(gray - np.concatenate(each, axis=2)).max() <= 1
    restored = load_upscaler(save(tmp_path, "Compact", upscale=1))
    assert restored.scale == 1 and restored(lr_image).shape == lr_image.shape


def test_what_does_not_compute_in_half_precision_is_not_exported_in_it(tmp_path):
    record = export_checkpoint(save(tmp_path, "SAFMN"), tmp_path / "model")
    assert (record["size_multiple"], record["padding"]) == (8, "reflect") and not record["supports_half"]
    with pytest.raises(UserError, match="SAFMN does not compute in half precision"):
        export_interchange(tmp_path / "model", tmp_path / "interchange", precision="fp16")


def test_what_spandrel_does_not_know_either_is_refused_with_both_reasons(tmp_path, monkeypatch):
    torch.save({"weight": torch.ones(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: .* fit none of the networks .* spandrel does not know"):
        export_checkpoint(tmp_path / "other.pth", tmp_path / "model")
    broken = make_weights("Compact")
    broken["body.0.weight"][0, 0, 0, 0] = float("nan")
    torch.save(broken, tmp_path / "broken.pth")
    with pytest.raises(UserError, match="not finite"):
        export_checkpoint(tmp_path / "broken.pth", tmp_path / "model")
    monkeypatch.setattr(checkpoint, "is_installed", lambda: False)
    with pytest.raises(UserError, match="fit none") as raised:
        export_checkpoint(save(tmp_path, "SPAN"), tmp_path / "model")
    assert "pip install 'super-resolution-factory[models]'" in raised.value.hint


def test_without_spandrel_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(UserError, match=r"need spandrel, not installed here"):
        spandrel_models.find_weights({})


def test_our_networks_need_no_spandrel(realtime_dir, tmp_path):
    """They are recognized first: spandrel is not even imported."""
    code = (
        "import sys; sys.modules['spandrel'] = None\n"
        "from pathlib import Path\n"
        "from sr.models.checkpoint import export_checkpoint\n"
        "print(export_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]))['architecture'])"
    )
    command = [sys.executable, "-c", code, str(realtime_dir / "model.safetensors"), str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "realtime"
