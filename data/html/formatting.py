"""Format what a page says: numbers with their units, and explanations of rejection reasons.

Pure functions of values; nothing here knows a page or a file.
"""

import math

from data.records import RejectionReason

NO_VALUE = "–"
"""Shown where there is no figure."""

REASONS: dict[RejectionReason, str] = {
    RejectionReason.NOT_AN_IMAGE: "Another kind of file: its name has no suffix of a known image format.",
    RejectionReason.UNREADABLE: "The image is truncated or damaged, or its file is empty, zeros or a web page.",
    RejectionReason.UNSUPPORTED: "Transparency, several frames, another format or odd profile; or an interlaced video.",
    RejectionReason.LINK: "A link that is not followed, or a device, instead of a file.",
    RejectionReason.UNSAFE_NAME: "The name, used as a path, would lead out of its folder.",
    RejectionReason.UNREACHABLE: "The link gives no file: it is dead, or its host refuses.",
    RejectionReason.OPTED_OUT: "Its host does not want it to be used for training.",
    RejectionReason.BAD_NAME: "The result's name would be too long, or that of another result.",
    RejectionReason.TOO_SMALL: "No crop fits into the image after the downscaling that its format needs.",
    RejectionReason.TOO_LARGE: "The image has more pixels than [crops] max_megapixels allows; it is not decoded.",
    RejectionReason.TRUNCATED: "The video ends earlier than its header says; the frames before that are used.",
    RejectionReason.DUPLICATE: "Another image of the dataset has the same bytes.",
    RejectionReason.FADE: "The video frame is part of a fade or a dissolve.",
    RejectionReason.FLAT: "The crop has almost no contrast: sky, paper, a black border.",
    RejectionReason.BLURRED: "The crop has almost no fine detail that a network could learn to restore.",
    RejectionReason.UNDEREXPOSED: "Nearly all of the crop is black.",
    RejectionReason.OVEREXPOSED: "Nearly all of the crop is white.",
    RejectionReason.BLOCKY: "The blocks of strong JPEG compression are visible.",
    RejectionReason.NOISY: "Noise hides the detail that a network could learn to restore.",
    RejectionReason.BORDERED: "A black border runs along an edge, like the bars of a video.",
    RejectionReason.PIXELATED: "Rows or columns of the crop repeat: a mosaic, or an image upscaled without a filter.",
    RejectionReason.DRAWN: "The crop has flat colors between edges: text, a user interface, a drawing.",
    RejectionReason.INTERLACED: "The crop shows the comb of two interlaced fields.",
    RejectionReason.UPSCALED: "The crop has next to nothing in the highest frequencies: upscaled, or out of focus.",
    RejectionReason.BANDED: "Steps are visible in smooth gradients of the crop.",
    RejectionReason.NEAR_DUPLICATE: "The crop looks nearly the same as another one.",
    RejectionReason.LEAKAGE: "The crop's image is in a benchmark dataset, which must stay unseen in training.",
    RejectionReason.SHOWS_VALIDATION: "The training crop shows a part of an image for validation.",
    RejectionReason.LOW_QUALITY: "The crop's quality is below the threshold of the selection.",
    RejectionReason.OVER_CAP: "A good crop, but there are more than were asked for.",
}
"""What each rejection reason means."""


def explain_reason(reason: str) -> str:
    """Return what a rejection reason means."""
    return REASONS[RejectionReason(reason)]


def count(value: int) -> str:
    """Format a whole number with thousands separators: 12,345."""
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """Format a number with its noun: 1 crop, 2 crops."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def fixed(value: float | None, digits: int) -> str:
    """Format a number with a fixed number of decimals; "∞" where it is infinite, "–" where there is none."""
    if value is None or math.isnan(value):
        return NO_VALUE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int) -> str:
    """Format a difference with its sign: +0.91, −0.02; zero has no sign."""
    text = fixed(value, digits)
    if value is None or text in (NO_VALUE, "∞"):
        return text
    if float(text.replace("−", "-").replace("∞", "inf")) == 0.0:
        return text.removeprefix("−")
    return text if text.startswith("−") else f"+{text}"


def milliseconds(value: float | None) -> str:
    """Format a duration in ms to three significant digits, without the unit."""
    if value is None:
        return NO_VALUE
    return fixed(value, 0 if value >= 100 else 1 if value >= 10 else 2)


def size(size_bytes: int | None) -> str:
    """Format a size as B, kB, MB, GB or TB, in steps of 1000."""
    if size_bytes is None:
        return NO_VALUE
    value, units = float(size_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 99.5 else f"{value:.1f} {units[0]}"
