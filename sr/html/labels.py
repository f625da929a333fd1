"""Labels and explanations of what is evaluated: models, protocols, endings of a training run.

Pure functions of values; nothing here knows a page or a file.
"""

import math
from pathlib import Path
from typing import Any

from data.html.formatting import plural

TEMPLATES = Path(__file__).parent / "templates"
"""The templates of the pages about models; they call the functions of this module as `labels`."""

CHANNELS = {
    "rgb": "on red, green and blue together",
    "y": "on luma alone (BT.601, 16 to 235, not rounded)",
}
ROUNDED_LUMA = "on luma alone (BT.601, 16 to 235, rounded to whole levels)"
CLASSIC = (
    "Luma is computed first and rounded to whole levels (the levels of a gray image are taken as they are). Luma alone "
    "is then downscaled by MATLAB's bicubic without rounding, upscaled, and rounded."
)
DEGRADATIONS = {
    "pillow-bicubic": "LR images are made from the originals by Pillow's bicubic filter, with antialiasing.",
    "matlab-bicubic": "LR images are made from the originals by MATLAB's bicubic in double precision, rounded once.",
    "selfexsr-bicubic": "LR images are made like SelfExSR's: from the originals by MATLAB's bicubic, rounded per axis.",
    "catid-gaussian": "LR images are made from the originals as the --gaussian option of catid/upsampling does.",
    "provided": "The benchmark dataset provides the LR images.",
}
FILTERS = {"pillow": "Pillow", "matlab": "MATLAB's imresize"}
ENDINGS = {
    "limit": "It reached its limit of steps or epochs.",
    "hours": "It reached its limit of hours.",
    "patience": "It stopped early: validation did not improve for patience_epochs epochs.",
}
"""Why a training run ended, by `stopped_by` of its record."""
MODEL_LABELS = {
    "bicubic": "Bicubic",
    "lanczos": "Lanczos",
    "torch": "PyTorch fp32",
    "onnx": "ONNX fp32",
    "fp32": "OpenVINO fp32",
    "fp16": "OpenVINO fp16",
    "int8": "OpenVINO int8",
}
"""Baselines and exported models by the name that records give them."""


def model_label(name: str) -> str:
    """Return the label of a baseline or of an exported model: "OpenVINO int8" for int8."""
    return MODEL_LABELS.get(name, name)


def describe_protocol(protocol: dict[str, Any], images: int | None = None) -> list[str]:
    """Describe an evaluation protocol in sentences.

    Args:
        protocol: the `protocol` of a report.
        images: how many were evaluated; the first sentence then says so.
    """
    scale, border = protocol["scale"], protocol["border_px"]
    degradation = protocol["degradation"]
    rounding = protocol.get("rounding", "output")
    channel = CHANNELS.get(protocol["channel"], protocol["channel"]) if rounding == "output" else ROUNDED_LUMA
    multiple = math.lcm(scale, protocol.get("modcrop", 1))
    counted = "Every image is" if images is None else f"{plural(images, 'image')}, each"
    return [
        f"{counted} cropped to a multiple of {multiple} px and evaluated at its own size.",
        CLASSIC
        if rounding == "classic"
        else DEGRADATIONS.get(degradation, f"LR images are made by {degradation}."),
        f"PSNR and SSIM are measured {channel}, on 8-bit results, with {border} px cropped from each side.",
        "SSIM uses an 11x11 Gaussian window of sigma 1.5, only where it fits whole.",
        f"Bicubic and Lanczos are computed as {FILTERS[protocol.get('filters', 'pillow')]} does.",
        f"Means are over images; an image without any error counts as {protocol['psnr_cap_db']:g} dB.",
    ]
