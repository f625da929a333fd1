"""Programs built on spandrel load our networks, and get the images that we get."""

import numpy as np
import pytest
import torch
from images import textured
from torchvision_operators import import_torchvision

from sr.runtime.network_upscalers import TorchUpscaler


@pytest.fixture(scope="module")
def loader():
    """Give spandrel's loader, with our architectures in a registry of its own."""
    import_torchvision()
    pytest.importorskip("spandrel")
    from spandrel import MAIN_REGISTRY, ModelLoader

    from sr.integrations.spandrel import register

    registry = MAIN_REGISTRY.copy()
    register(registry)
    register(registry)
    assert len(registry) == len(MAIN_REGISTRY) + 2
    return ModelLoader(registry=registry)


@pytest.mark.parametrize("model", ["realtime", "luma", "vapsr"])
def test_our_files_load_and_give_our_images(model, loader, request):
    model_dir = request.getfixturevalue(f"{model}_dir")
    loaded = loader.load_from_file(model_dir / "model.safetensors")
    assert loaded.architecture.name == ("VapSR" if model == "vapsr" else "Realtime") and loaded.scale == 2
    lr_image = textured(3, 38, 52)
    image = torch.from_numpy(lr_image).permute(2, 0, 1)[None] / 255
    hr_image = loaded(image)[0].permute(1, 2, 0).numpy()
    expected = TorchUpscaler(model_dir)(lr_image).astype(int)
    assert np.abs(np.rint(hr_image * 255) - expected).max() <= 1
    odd = loaded.bfloat16()(image[..., :37, :51].to(torch.bfloat16))
    assert (tuple(odd.shape), odd.dtype) == ((1, 3, 74, 102), torch.bfloat16)


def test_other_files_still_load_as_what_they_are(loader):
    from spandrel.architectures.Compact import Compact

    weights = Compact(num_feat=8, num_conv=1, upscale=2).state_dict()
    assert loader.load_from_state_dict(weights).architecture.id == "Compact"
