"""What decides the pairs of a training, such as the patches of each step. Importing it loads nothing heavy."""

import dataclasses
import functools

from data.errors import UserError
from data.setting import setting
from sr.degradation.parser import parse_degradation

AUTO = "auto"
DECODERS = (AUTO, "dali", "opencv")
"""What can decode crops; auto: DALI where it is installed."""
CACHE_PLACES = (AUTO, "memory", "disk", "off")
"""Where decoded crops can be kept; auto: the first of the others that has room."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairSettings:
    """Which pairs each step of a training sees."""

    seed: int = setting(0, "seed of the weights, the order of the crops and the augmentation")
    patch_px: int = setting(256, "side of the HR patch that is cut from each crop, pixels", at_least=1)
    patch_stages: str = setting(
        "",
        "smaller patches at the start, as SIDE:FRACTION of all steps, e.g. 64:0.5,128:0.3; empty: patch_px throughout",
    )
    batch_size: int = setting(32, "patches of an optimizer step, over all devices", at_least=1)
    patches_per_image: int = setting(
        1,
        "patches cut from each crop of a step; must divide batch_size. More save decoding where crop_cache is off",
        at_least=1,
    )
    flip_probability: float = setting(0.4, "probability that a patch is mirrored", at_least=0, at_most=1)
    rotate_probability: float = setting(
        0.5, "probability that a patch is rotated by 90, 180 or 270 degrees", at_least=0, at_most=1
    )
    brightness_probability: float = setting(
        0.2, "probability that a patch is made darker or brighter", at_least=0, at_most=1
    )
    brightness_min: float = setting(0.5, "smallest factor on the brightness", at_least=0)
    brightness_max: float = setting(1.2, "largest factor on the brightness", at_least=0)
    degradation: str = setting(
        "bicubic",
        "how LR patches are made: bicubic, then any of blur, noise, jpeg, codec, h264, hevc and av1, each as "
        "NAME:MIN-MAX@PROBABILITY",
    )


def check_pair_settings(settings: PairSettings) -> None:
    """Check what the settings say together, and those that have a grammar.

    Raises:
        UserError: one is not valid.
    """
    parse_degradation(settings.degradation)
    parse_stages(settings.patch_stages)
    if settings.batch_size % settings.patches_per_image:
        message = (
            f"[training] batch_size must be a multiple of the patches per image, but it is {settings.batch_size} and "
            f"patches_per_image is {settings.patches_per_image}"
        )
        raise UserError(message, "Change batch_size or patches_per_image")
    if settings.brightness_min > settings.brightness_max:
        message = (
            f"[training] brightness_min ({settings.brightness_min}) is above brightness_max "
            f"({settings.brightness_max})"
        )
        raise UserError(message, "Lower brightness_min, or raise brightness_max")


@functools.cache
def parse_stages(text: str) -> tuple[tuple[int, float], ...]:
    """Parse `patch_stages`: patch sides in pixels, each with its share of the steps, such as "64:0.5,128:0.3".

    Raises:
        UserError: the text cannot be parsed, or the shares leave no steps for patch_px.
    """
    stages = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        side, _, share = word.partition(":")
        try:
            stages.append((int(side), float(share)))
        except ValueError:
            stages.append((0, 0.0))
    if any(not 0 < share < 1 for _, share in stages) or sum(share for _, share in stages) >= 1:
        message = (
            f"[training] patch_stages is {text!r}, but must be sides with shares that add up to less than 1, as in "
            "64:0.5,128:0.3; patch_px takes the rest"
        )
        raise UserError(message, "Change patch_stages")
    return tuple(stages)


def patch_px_at(settings: PairSettings, step: int, total_steps: int) -> int:
    """Return the side of the HR patches at an optimizer step, counted from 0: each stage in turn, then patch_px."""
    end = 0.0
    for side_px, share in parse_stages(settings.patch_stages):
        end += share
        if step < round(end * total_steps):
            return side_px
    return settings.patch_px


def patch_sizes_px(settings: PairSettings) -> list[int]:
    """Return the different sides of the HR patches in the order in which they come."""
    return list(
        dict.fromkeys([*(side_px for side_px, _ in parse_stages(settings.patch_stages)), settings.patch_px])
    )


def check_patches(settings: PairSettings, multiple_px: int, crop_px: int) -> None:
    """Check that patches can be cut from crops.

    Args:
        settings: their sides.
        multiple_px: what the side of an HR patch must be a multiple of.
        crop_px: side of the crops.

    Raises:
        UserError: they cannot.
    """
    stages = parse_stages(settings.patch_stages)
    named = {px: "patch_stages" for px, _ in stages} | {settings.patch_px: "patch_px"}
    for patch_px, key in named.items():
        if patch_px % multiple_px or not 0 < patch_px <= crop_px:
            message = (
                f"[training] {key} has a patch of {patch_px} px, but this network and selection need a multiple "
                f"of {multiple_px} px, at most {crop_px} px"
            )
            raise UserError(message, f"Change {key}")
