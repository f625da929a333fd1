"""Small networks and everything that is exported from them, made once for all tests of this folder."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from selections import write_selection


@pytest.fixture(scope="session")
def realtime_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the model directory of a small realtime network with a random residual."""
    from sr.models.presets import ModelDescription

    description = ModelDescription("realtime", {"scale": 2, "layers": 3, "channels": 8}, (0.0, 1.0))
    return _model_dir(description, tmp_path_factory.mktemp("realtime"))


@pytest.fixture(scope="session")
def luma_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the model directory of a small realtime network of luma alone."""
    from sr.models.presets import IN_256THS, ModelDescription

    sizes = {"scale": 2, "layers": 3, "channels": 8, "planes": 1}
    return _model_dir(ModelDescription("realtime", sizes, IN_256THS), tmp_path_factory.mktemp("luma"))


@pytest.fixture(scope="session")
def luma_onnx(luma_dir: Path) -> Path:
    """Give the directory of the small luma network's ONNX file for planes of luma."""
    from sr.export.to_onnx import export_onnx

    export_onnx(luma_dir, luma_dir.parent / "onnx", planes="luma")
    return luma_dir.parent / "onnx"


@pytest.fixture(scope="session")
def vapsr_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the model directory of a small VapSR with 3x3 projections (values of -1 to 1)."""
    from sr.models.presets import ModelDescription

    sizes = {"scale": 2, "features": 8, "blocks": 2, "attention": 8, "projection": 3, "groups": 1}
    return _model_dir(ModelDescription("vapsr", sizes, (-1.0, 1.0)), tmp_path_factory.mktemp("vapsr"))


def _model_dir(description, root: Path) -> Path:
    from sr.models.checkpoint import export_checkpoint
    from sr.models.registry import build_network

    core = build_network(description).core
    stream = torch.Generator().manual_seed(11)
    weights = {
        name: torch.randn(tensor.shape, generator=stream) * (0.3 / max(tensor[0].numel(), 1) ** 0.5)
        for name, tensor in core.state_dict().items()
    }
    save_file(weights, root / "weights.safetensors")
    export_checkpoint(root / "weights.safetensors", root / "model")
    return root / "model"


@pytest.fixture(scope="session")
def realtime_onnx(realtime_dir: Path) -> Path:
    """Give the directory of the small realtime network's ONNX file."""
    from sr.export.to_onnx import export_onnx

    export_onnx(realtime_dir, realtime_dir.parent / "onnx")
    return realtime_dir.parent / "onnx"


@pytest.fixture(scope="session")
def vapsr_onnx(vapsr_dir: Path) -> Path:
    """Give the directory of the small VapSR's ONNX file."""
    from sr.export.to_onnx import export_onnx

    export_onnx(vapsr_dir, vapsr_dir.parent / "onnx")
    return vapsr_dir.parent / "onnx"


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the path of a selection.json: five training crops in two shards and three for validation,
    96x96."""
    return write_selection(tmp_path_factory.mktemp("crops"), (3, 2), (3,), 96)


@pytest.fixture(scope="session")
def realtime_irs(realtime_onnx: Path, crops: Path) -> dict[str, Path]:
    """Give the directories of the small realtime network's IRs, by precision."""
    from sr.export.settings import PRECISIONS, Int8Settings
    from sr.export.to_openvino import export_openvino

    made = {}
    for precision in PRECISIONS:
        made[precision] = realtime_onnx.parent / precision
        settings = Int8Settings(calibration_crops=4, held_out_crops=2)
        export_openvino(realtime_onnx, made[precision], precision, calibration=crops, settings=settings)
    return made
