"""Metrics of pyiqa give what pyiqa gives, take weights from disk only, and run nothing that these contain."""

import numpy as np
import pytest
import torch
from torchvision_operators import import_torchvision

from data.errors import UserError

WEIGHTS = "CNNIQA_koniq10k-e6f14c91.pth"


@pytest.fixture(scope="module")
def pyiqa():
    """Give pyiqa, imported."""
    import_torchvision()
    return pytest.importorskip("pyiqa")


@pytest.fixture
def weights(pyiqa, tmp_path, monkeypatch):
    """Give the path where pyiqa looks for the weights of its metric cnniqa, and the network without weights."""
    import pyiqa.utils.download_util as downloads
    from pyiqa.archs.cnniqa_arch import CNNIQA

    monkeypatch.setattr(downloads, "DEFAULT_CACHE_DIR", str(tmp_path))
    torch.manual_seed(0)
    return tmp_path / WEIGHTS, CNNIQA(pretrained=None).eval()


def images(count=3):
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def scorer(name, download=False):
    from sr.scoring.pyiqa_metric import PyiqaScorer

    return PyiqaScorer(name, "cpu", 2, download)


def test_a_metric_without_weights_gives_what_pyiqa_gives(pyiqa, capsys):
    batch = torch.from_numpy(images()).permute(0, 3, 1, 2) / 255
    expected = pyiqa.create_metric("entropy", device="cpu")(batch).numpy()
    capsys.readouterr()
    found = scorer("entropy")(images())
    assert found.dtype == np.float32 and found.tolist() == expected.tolist()
    assert capsys.readouterr().out == ""


def test_weights_come_from_disk_and_the_error_says_where_they_belong(weights):
    path, network = weights
    with pytest.raises(UserError, match=f"belongs into {path.parent} as {WEIGHTS}.*--scores-download"):
        scorer("cnniqa")
    torch.save({"params": network.state_dict()}, path)
    metric = scorer("cnniqa")
    with torch.no_grad():
        expected = network(torch.from_numpy(images()).permute(0, 3, 1, 2) / 255).ravel().numpy()
    assert np.allclose(metric(images()), expected, rtol=1e-5)
    before = metric.network_sha256
    torch.save({"params": {name: value * 2 for name, value in network.state_dict().items()}}, path)
    assert scorer("cnniqa").network_sha256 != before


class RunsCode:
    """What a hostile file of weights holds."""

    def __reduce__(self):
        return print, ("this was run",)


def test_a_file_of_weights_that_would_run_code_is_refused(weights, capsys):
    path, _ = weights
    torch.save({"params": RunsCode()}, path)
    with pytest.raises(UserError, match="cnniqa can't be made"):
        scorer("cnniqa")
    assert "this was run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["hyperiqa", "arniqa"])
def test_the_weights_of_a_backbone_are_not_fetched_either(pyiqa, name, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=f"the weights of {name} are not on disk: https://.* belongs into"):
        scorer(name)


@pytest.mark.parametrize("name", ["hyperiqua", "fid", "ssim"])
def test_what_pyiqa_lacks_and_what_needs_more_than_an_image_is_refused(pyiqa, name):
    with pytest.raises(UserError, match=f"no no-reference metric {name}.*hyperiqa"):
        scorer(name)


def test_a_package_that_a_metric_needs_is_named(pyiqa, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "clip", None)
    monkeypatch.delitem(sys.modules, "pyiqa.archs.clip_imports", raising=False)
    with pytest.raises(UserError, match="pyiqa's clipiqa needs the package clip.*openai-clip"):
        scorer("clipiqa")
