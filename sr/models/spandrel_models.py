"""Networks of other architectures, loaded by spandrel: Compact, SPAN, ESRGAN, SwinIR and some forty others.

spandrel finds the architecture and its sizes from the tensors, and says what the network takes. It gets tensors alone:
files are read in `sr.models.checkpoint`, where nothing in them is run.
"""

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from sr.models.metadata import HALO_PX, MAX_MINIMUM_PX, MAX_SIZE_MULTIPLE
from sr.models.network import Architecture, SuperResolutionNetwork
from sr.models.presets import ModelDescription

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor, ModelDescriptor

ARCHITECTURE = "spandrel"
"""The architecture in the descriptions of these networks; the preset is spandrel's name."""
EXTRA = "models"
_CHANNELS = (1, 3, 4)
_MAX_SCALE = 8


class SpandrelCore(Architecture):
    """A network of spandrel's as an architecture of RGB images.

    A network of one channel upscales R, G and B each; one of four (RGBA) gets an opaque image.
    """

    def __init__(self, descriptor: "ImageModelDescriptor[Any]") -> None:
        """Wrap a loaded network; its module is shared."""
        super().__init__()
        required = descriptor.size_requirements
        self.model = descriptor.model
        self.scale, self.size_multiple = descriptor.scale, required.multiple_of
        self.minimum_px = max(required.minimum, 1)
        self.padding = "reflect"  # as spandrel itself pads
        self.halo_px = HALO_PX  # attention sees farther than convolutions tell
        self.supports_half = descriptor.supports_half
        self.channels = descriptor.input_channels
        self.tiling: str = descriptor.tiling.name.lower()
        _join_branches(self.model)
        self._call = descriptor._call_fn  # some networks return more than an image, or in another range

    def forward(self, lr_image: Tensor) -> Tensor:
        """Upscale float32 [n,3,h,w], 0 to 1, to float32 [n,3,scale·h,scale·w]."""
        if self.channels == 1:
            planes: Tensor = self._call(
                self.model, lr_image.flatten(0, 1).unsqueeze(1)
            )  # [3n,1,scale·h,scale·w]
            return planes.reshape(-1, 3, planes.shape[2], planes.shape[3])
        if self.channels == 4:
            lr_image = torch.cat([lr_image, torch.ones_like(lr_image[:, :1])], dim=1)
        hr_image: Tensor = self._call(self.model, lr_image)[:, :3]
        return hr_image


def is_installed() -> bool:
    """Return whether spandrel is installed."""
    return importlib.util.find_spec("spandrel") is not None


def find_weights(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors of a checkpoint, without the dictionaries and prefixes that programs wrap them in.

    Raises:
        UserError: spandrel cannot be imported, or the names are no text.
    """
    _import()
    from spandrel import canonicalize_state_dict

    try:
        weights: dict[str, Any] = canonicalize_state_dict(dict(content))
    except Exception as error:  # it expects names that are text, at each level
        raise_if_exhausted(error)
        message = f"spandrel finds no named tensors in it ({type(error).__name__}: {error})"
        raise UserError(message, "Choose a checkpoint that contains only weights") from None
    return weights


def build_spandrel_network(weights: Mapping[str, Tensor]) -> SuperResolutionNetwork:
    """Recognize the network that tensors belong to, and load them.

    Args:
        weights: float32, as `find_weights` returns them.

    Raises:
        UserError: spandrel cannot be imported or does not know it, or it does not turn an image into an image.
    """
    _import()
    from spandrel import MAIN_REGISTRY, ImageModelDescriptor, UnsupportedModelError

    try:
        descriptor = MAIN_REGISTRY.load(dict(weights))
    except UnsupportedModelError:
        message = f"spandrel does not know the network of these weights either ({len(weights)} tensors)"
        raise UserError(message, "Export it to ONNX where it was trained, and give the .onnx file") from None
    except Exception as error:  # each architecture fails in its own way at sizes that it does not expect
        raise_if_exhausted(error)
        words = " ".join(str(error).split())[:200] or type(error).__name__
        message = f"spandrel cannot load the weights: {words}"
        raise UserError(message, "Choose another checkpoint of this network") from None
    name = descriptor.architecture.id
    if reason := _find_reason(descriptor):
        raise UserError(f"The {name} network {reason}", "Choose a network that upscales images")
    assert isinstance(descriptor, ImageModelDescriptor)
    description = ModelDescription(ARCHITECTURE, {"scale": descriptor.scale}, (0.0, 1.0), str(name))
    return SuperResolutionNetwork(SpandrelCore(descriptor), description).eval()


def describe_requirements(core: SpandrelCore) -> dict[str, Any]:
    """Return what model.json says about a network of spandrel beside what it says about every network."""
    import spandrel

    return {
        "minimum_px": core.minimum_px,
        "padding": core.padding,
        "supports_half": core.supports_half,
        "tiling": core.tiling,
        "spandrel": spandrel.__version__,
    }


def _join_branches(network: nn.Module) -> None:
    """Join the branches of SPAN's convolutions once. It does so at each image, which no graph can hold.

    torch's exporter crashes where weights are set while it traces.
    """
    for module in network.eval().modules():
        if hasattr(module, "eval_conv") and callable(join := getattr(module, "update_params", None)):
            join()
            module.__dict__["update_params"] = lambda: None


def _find_reason(descriptor: "ModelDescriptor") -> str:
    """Return why a network cannot be an upscaler; empty if it can."""
    required = descriptor.size_requirements
    if descriptor.purpose == "Inpainting":
        return "fills in what a mask marks, and needs that mask beside the image"
    if descriptor.input_channels != descriptor.output_channels or descriptor.input_channels not in _CHANNELS:
        channels = f"{descriptor.input_channels} to {descriptor.output_channels}"
        return f"turns images of {channels} channels, and only 1, 3 or 4 to as many are run here"
    if not 1 <= descriptor.scale <= _MAX_SCALE:
        return f"has a scale of {descriptor.scale}; 1 to {_MAX_SCALE} are run here"
    if required.square:
        return "takes square images only"
    if required.multiple_of > MAX_SIZE_MULTIPLE or required.minimum > MAX_MINIMUM_PX:
        size = f"sides of a multiple of {required.multiple_of} px, at least {required.minimum}"
        return f"takes images with {size}; {MAX_SIZE_MULTIPLE} and {MAX_MINIMUM_PX} are the most here"
    return ""


def _import() -> None:
    """Import spandrel.

    Raises:
        UserError: it is not installed, or torchvision beside it does not fit torch.
    """
    try:
        importlib.import_module("spandrel")
    except ModuleNotFoundError as error:
        hint = f"Run: pip install 'super-resolution-factory[{EXTRA}]'"
        raise UserError(
            f"Networks of other architectures need {error.name}, not installed here", hint
        ) from None
    except Exception as error:  # a torchvision of another build raises whatever it comes across
        raise_if_exhausted(error)
        raise UserError(
            f"spandrel cannot be imported: {' '.join(str(error).split())[:200]}",
            "Install the torchvision that belongs to this torch, from the same package index",
        ) from None
