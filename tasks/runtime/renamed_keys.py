"""The keys of earlier versions, and what replaces them. A key whose unit has changed has another name on purpose."""

_PAGE = "docs/explanation/quality-metrics.md"
_RENAMED: dict[tuple[str, str], tuple[str, str]] = {
    ("crops", "max_per_source"): ("max_crops_per_image", ""),
    ("crops", "grid_rest_px"): ("grid_min_rest_px", ""),
    ("crops", "largest_mpx"): ("max_megapixels", ""),
    ("crops", "flat_below"): ("min_contrast", f", in levels, see {_PAGE}"),
    ("crops", "blurred_below"): ("min_sharpness", f", in levels, see {_PAGE}"),
    ("crops", "underexposed_above"): ("max_underexposed", f", a fraction, see {_PAGE}"),
    ("crops", "overexposed_above"): ("max_overexposed", f", a fraction, see {_PAGE}"),
    ("crops", "blocky_above"): ("max_bhi_blockiness", f", in another unit, see {_PAGE}"),
    ("crops", "max_blockiness"): ("max_bhi_blockiness", f", in another unit, see {_PAGE}"),
    ("crops", "noisy_above"): ("max_noise", f", in levels, see {_PAGE}"),
    ("crops", "bordered_above"): ("max_border_px", ""),
    ("selection", "least_detail"): ("rules", ", such as sharpness >= 1.5"),
    ("selection", "min_sharpness"): ("rules", ", such as sharpness >= 1.5"),
    ("training", "gradient_accumulation_steps"): ("batch_size", ", the patches of a step over all devices"),
    ("training", "loader"): ("decoder", " = auto, dali or opencv"),
}
"""For a section and a former key, the key in its place and what else is to be said."""


def find_renamed(section: str, key: str) -> str | None:
    """Return what to write in place of a key of an earlier version; None for any other key."""
    new = _RENAMED.get((section, key.replace("-", "_")))
    return f"Write {''.join(new)}" if new else None


def find_renamed_option(option: str) -> str | None:
    """Return what to write in place of an option of an earlier version; None for any other option."""
    for (section, key), (new, remark) in _RENAMED.items():
        if option == _option(section, key):
            return f"write {_option(section, new)}{remark}"
    return None


def _option(section: str, key: str) -> str:
    return f"--{section}-{key}".replace("_", "-")
