"""How a report says things: numbers with their units, and what reasons, protocols and endings mean in words.

Pure functions of values; it knows no page and no file.
"""

import math
from typing import Any

from data.records import Reason

NOTHING = "–"
"""Stands where there is no figure."""

REASONS: dict[Reason, str] = {
    Reason.NOT_AN_IMAGE: "The file is no image of a known format.",
    Reason.UNREADABLE: "The file is an image, but truncated or damaged.",
    Reason.UNSUPPORTED: "No plain image: transparent, of several frames, an odd profile; or an interlaced video.",
    Reason.LINK: "A link or a device, not a file; links are not followed.",
    Reason.UNSAFE_NAME: "A name that, made a path, would lead out of its folder.",
    Reason.TOO_SMALL: "No crop fits into the image after the reduction that its format needs.",
    Reason.TOO_LARGE: "The image has more pixels than [crops] max_megapixels allows, and is not decoded.",
    Reason.TRUNCATED: "A video that breaks off before its header says; what came before is used.",
    Reason.DUPLICATE: "The same bytes as another image of the dataset.",
    Reason.FADE: "A video's frame in the midst of a fade or a dissolve.",
    Reason.FLAT: "The crop has almost no contrast: sky, paper, a black border.",
    Reason.BLURRED: "The crop has almost no fine detail that a network could learn to restore.",
    Reason.UNDEREXPOSED: "Nearly all of the crop is black.",
    Reason.OVEREXPOSED: "Nearly all of the crop is white.",
    Reason.BLOCKY: "The blocks of a strong JPEG compression stand out.",
    Reason.NOISY: "The noise hides the detail that a network could learn to restore.",
    Reason.BORDERED: "A black border runs along an edge, as of a video's bars.",
    Reason.NEAR_DUPLICATE: "The crop looks nearly the same as another one.",
    Reason.LEAKAGE: "The crop's image is in a benchmark, which must stay unseen.",
    Reason.LOW_QUALITY: "The crop scores below the selection's limit.",
    Reason.OVER_CAP: "A good crop, but there are more than were asked for.",
}
"""What each reason for throwing something out means."""

CHANNELS = {
    "rgb": "on red, green and blue together",
    "y": "on luma alone (BT.601, 16 to 235, not rounded)",
}
ROUNDED_LUMA = "on luma alone (BT.601, 16 to 235, rounded to whole levels)"
CLASSIC = (
    "Luma is taken first and rounded to whole levels (a gray image's levels are taken as they are); it alone is "
    "reduced by MATLAB's bicubic, without rounding, upscaled, and rounded."
)
DEGRADATIONS = {
    "pillow-bicubic": "LR images are made of the originals by Pillow's bicubic filter, with antialiasing.",
    "matlab-bicubic": "LR images are made of the originals by MATLAB's bicubic in double precision, rounded once.",
    "selfexsr-bicubic": "LR images are made of the originals as SelfExSR's are: MATLAB's, rounded after each axis.",
    "forebear-gaussian": "LR images are made of the originals as catid/upsampling's --gaussian does.",
    "supplied": "LR images are those that the benchmark supplies.",
}
FILTERS = {"pillow": "Pillow", "matlab": "MATLAB's imresize"}
ENDINGS = {
    "limit": "It ran to its limit of steps or epochs.",
    "hours": "It ran to its limit of hours.",
    "patience": "It was stopped early, after as many epochs without a better one as it was told to wait for.",
}
"""Why a training run was over, by `stopped_by` of its record."""
FORM_NAMES = {
    "bicubic": "Bicubic",
    "lanczos": "Lanczos",
    "torch": "PyTorch fp32",
    "onnx": "ONNX fp32",
    "fp32": "OpenVINO fp32",
    "fp16": "OpenVINO fp16",
    "int8": "OpenVINO int8",
}


def form_name(form: str) -> str:
    """Return a form of a model as a person reads it."""
    return FORM_NAMES.get(form, form)


def reason(name: str) -> str:
    """Return what a rejection's reason means."""
    return REASONS[Reason(name)]


def count(value: int) -> str:
    """Return a whole number with its thousands apart: 12,345."""
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """Return a number with its noun: 1 crop, 2 crops."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def fixed(value: float | None, digits: int) -> str:
    """Return a number with so many decimals; "∞" where it is infinite, "–" where there is none."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int) -> str:
    """Return a difference with its sign: +0.91, −0.02, and no sign on a zero."""
    text = fixed(value, digits)
    if value is None or text in (NOTHING, "∞"):
        return text
    if float(text.replace("−", "-").replace("∞", "inf")) == 0.0:
        return text.removeprefix("−")
    return text if text.startswith("−") else f"+{text}"


def milliseconds(value: float | None) -> str:
    """Return a duration in ms to three figures, without the unit."""
    if value is None:
        return NOTHING
    return fixed(value, 0 if value >= 100 else 1 if value >= 10 else 2)


def size(size_bytes: int | None) -> str:
    """Return a size as B, kB, MB, GB or TB, steps of 1000."""
    if size_bytes is None:
        return NOTHING
    value, units = float(size_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 99.5 else f"{value:.1f} {units[0]}"


def protocol(plain: dict[str, Any], images: int) -> list[str]:
    """Return an evaluation protocol (the plain data of a report) as sentences."""
    scale, border = plain["scale"], plain["border_px"]
    made = DEGRADATIONS.get(plain["degradation"], f"LR images are made by {plain['degradation']}.")
    rounding = plain.get("rounding", "output")
    channel = CHANNELS.get(plain["channel"], plain["channel"]) if rounding == "output" else ROUNDED_LUMA
    cut = math.lcm(scale, plain.get("modcrop", 1))
    return [
        f"{plural(images, 'image')}, each cut to a multiple of {cut} px and judged at its own size.",
        CLASSIC if rounding == "classic" else made,
        f"PSNR and SSIM are measured {channel}, on outputs of 8 bits, {border} px cut from each side.",
        "SSIM uses an 11x11 Gaussian window, sigma 1.5, where it fits whole.",
        f"Bicubic and Lanczos are computed as {FILTERS[plain.get('filters', 'pillow')]} does.",
        f"The mean is over images; an image without any error counts as {plain['psnr_cap_db']:g} dB.",
    ]
