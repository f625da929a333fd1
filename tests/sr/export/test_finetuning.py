"""Fine-tuning brings an int8 model nearer to its network, and changes nothing but constants."""

import numpy as np
import pytest
import torch
from images import textured

from data.errors import UserError
from sr.export import finetuning
from sr.export.finetuning import fine_tune
from sr.export.ir_graph import find_sensitive_operations
from sr.export.quantize import quantize
from sr.export.rounding import find_int8_layers, replace_constant
from sr.export.settings import Int8Settings
from sr.export.to_openvino import export_openvino
from sr.models.checkpoint import load_model
from sr.models.luma_interface import LumaInterface
from sr.runtime.openvino_runtime import openvino as ov

LR_IMAGES = [textured(seed, 48, 48) for seed in range(4)]
OTHERS = [textured(seed, 48, 64) for seed in range(20, 24)]


def noise(quantized, network, images):
    """Return the root mean square of the difference from the network, in levels, before rounding."""
    probe = quantized.clone()
    (rounded,) = [node for node in probe.get_ops() if node.get_type_name() == "Round"]
    probe.add_outputs([rounded.input_value(0)])
    compiled = ov.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    squares = []
    for image in images:
        made = torch.from_numpy(list(compiled(image[None]).values())[-1]).clamp(0, 255)
        with torch.no_grad():
            expected = network.upscale_levels(torch.from_numpy(image).permute(2, 0, 1)[None].float())
        made = made if made.shape == expected.shape else made.permute(0, 3, 1, 2)
        squares.append((made - expected).square().mean())
    return float(torch.stack(squares).mean().sqrt())


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Take few patches and one thread: threads of a busy machine wait for each other."""
    monkeypatch.setattr(finetuning, "PATCHES", 4)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def coarse(realtime_dir, realtime_onnx):
    """An int8 model that loses much: its weights are rounded up. And its network."""
    model = ov.convert_model(realtime_onnx / "model.onnx")
    quantized, _ = quantize(model, LR_IMAGES, find_sensitive_operations(model))
    for layer in find_int8_layers(quantized).values():
        replace_constant(layer.integers, np.minimum(layer.integers.data, 60) + np.int8(2))
    return quantized, load_model(realtime_dir)


def test_int8_comes_nearer_to_the_network_on_other_images(coarse):
    quantized, network = coarse
    reports = []
    tuned = fine_tune(quantized, network, LR_IMAGES, 60, 0, lambda step, found: reports.append((step, found)))
    before, after = noise(quantized, network, OTHERS), noise(tuned, network, OTHERS)
    assert after < 0.6 * before
    assert [step for step, _ in reports] == [20, 40, 60] and reports[-1][1] < reports[0][1]
    assert reports[-1][1] == pytest.approx(after, rel=0.5), "torch rounds as OpenVINO does"


def test_only_constants_change_and_equal_seeds_give_equal_models(coarse):
    quantized, network = coarse
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    models = [quantized, *(fine_tune(quantized, network, LR_IMAGES, 3, seed) for seed in (0, 0, 1))]
    kinds = [[node.get_type_name() for node in model.get_ordered_ops()] for model in models]
    assert kinds[1:] == kinds[:1] * 3
    layers = [find_int8_layers(model) for model in models]
    for name, layer in layers[0].items():
        np.testing.assert_array_equal(layers[1][name].scales, layer.scales)
    outputs = [ov.Core().compile_model(model, "CPU")(OTHERS[0][None])[0] for model in models]
    assert np.array_equal(outputs[1], outputs[2])
    assert not np.array_equal(outputs[0], outputs[1]) and not np.array_equal(outputs[1], outputs[3])
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


def test_the_record_says_what_was_lost_before_and_after(realtime_onnx, realtime_dir, crops, tmp_path):
    settings = Int8Settings(calibration_crops=2, held_out_crops=1, int8_finetune_steps=2)
    record = export_openvino(
        realtime_onnx, tmp_path, "int8", calibration=crops, settings=settings, model_dir=realtime_dir
    )
    tuning = record["fine_tuning"]
    assert tuning["steps"] == 2
    kept = tuning["after_psnr_db" if tuning["kept"] else "before_psnr_db"]
    assert record["accuracy"]["int8_psnr_db"] == kept


def test_an_onnx_file_is_not_fine_tuned(realtime_onnx, crops, tmp_path):
    settings = Int8Settings(calibration_crops=2, held_out_crops=1, int8_finetune_steps=2)
    with pytest.raises(UserError, match="Only weights can be fine-tuned for int8"):
        export_openvino(realtime_onnx, tmp_path, "int8", calibration=crops, settings=settings)


@pytest.mark.parametrize("form", ["luma", "vapsr"])
def test_luma_and_vapsr_have_layers_to_fine_tune(form, luma_dir, luma_onnx, vapsr_dir, vapsr_onnx):
    directory, onnx_dir = {"luma": (luma_dir, luma_onnx), "vapsr": (vapsr_dir, vapsr_onnx)}[form]
    model, network = ov.convert_model(onnx_dir / "model.onnx"), load_model(directory)
    images, others = LR_IMAGES, OTHERS
    if form == "luma":
        network = LumaInterface(network)
        images, others = ([image[..., :1] for image in part] for part in (images, others))
    quantized, _ = quantize(model, images, find_sensitive_operations(model))
    for layer in find_int8_layers(quantized).values():
        replace_constant(layer.integers, np.minimum(layer.integers.data, 60) + np.int8(2))
    tuned = fine_tune(quantized, network, images, 4 if form == "vapsr" else 8, 0)
    before, after = (noise(one, network, others[:2]) for one in (quantized, tuned))
    assert after < before if form == "luma" else after != before
