"""Let torchvision be imported where its operators can't be loaded.

The build that package indexes have is for CUDA: beside torch's CPU build its library does not load, and the import
fails for the operators that it then lacks. None of them is used here. A program needs two builds that belong together.
"""

import contextlib
import importlib

import pytest
import torch

_OPERATORS = (
    "nms", "qnms", "roi_align", "_roi_align_backward", "qroi_align", "ps_roi_align", "_ps_roi_align_backward",
    "roi_pool", "_roi_pool_backward", "ps_roi_pool", "_ps_roi_pool_backward", "deform_conv2d",
    "_deform_conv2d_backward",
)  # fmt: skip
_defined: list[torch.library.Library] = []


def import_torchvision() -> None:
    """Import torchvision, with schemas of the operators that its library does not define; skip the test without it."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        pytest.skip("torchvision is not installed")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        _defined.append(library)
        for name in _OPERATORS:
            with contextlib.suppress(RuntimeError):  # it is defined already
                library.define(f"{name}(Tensor x) -> Tensor")
        importlib.import_module("torchvision")
