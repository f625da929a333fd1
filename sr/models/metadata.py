"""The metadata inside an exported model file, so that the file alone is enough to run it: one record of strings.

ONNX stores the strings in `metadata_props`, an IR in `rt_info` under GROUP. This module knows no graph and no runtime.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError

SCHEMA = "2"
GROUP = "upsampling"
"""The rt_info section of an IR that holds the strings."""

HALO_PX = 32
"""The largest halo: LR pixels around the kept part of a tile. VapSR, which sees far, differs from the whole image by
one level at most with 32, and by 2 to 3 with 16."""

MAX_SIZE_MULTIPLE, MAX_MINIMUM_PX = 64, 512

_KNOWN: dict[str, Sequence[Any]] = {
    "scale": range(1, 9),
    "size_multiple": range(1, MAX_SIZE_MULTIPLE + 1),
    "minimum_px": range(1, MAX_MINIMUM_PX + 1),
    "padding": ("edge", "reflect"),
    "halo_px": range(HALO_PX + 1),
    "color": ("rgb", "luma"),
    "precision": ("fp32", "fp16", "int8"),
    "layout": ("NHWC",),
}
"""The permitted values of fields that decide how an image is padded, tiled and colored. Others are refused."""

_LATER = {"minimum_px": 1, "padding": "edge"}
"""Fields that a file has only where they differ from this."""


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """How to call an exported network, and where it came from. Every field is a string in the file."""

    scale: int
    """How many times taller and wider "output" is than "input"."""
    size_multiple: int
    """The height and width of "input" must be multiples of this."""
    color: str
    """Of both images: rgb, or luma (one plane in video range, 16 black and 235 white)."""
    value_range: str
    """The range that the network works in, "darkest,brightest"; the graph converts from and to uint8."""
    preset: str
    architecture: str
    weights_sha256: str
    """Of model.safetensors, from which the graph was made."""
    license: str
    """Of the weights; "unknown" if it was not given."""
    precision: str = "fp32"
    """fp32, fp16 (weights stored as such) or int8."""
    layout: str = "NHWC"
    """Of "input" (uint8, n h w c) and of "output" (uint8, n scale*h scale*w c); c as `channels` says."""
    halo_px: int = 32
    """LR pixels around the kept part of a tile (sr.models.receptive_field); 32 if the file does not say."""
    minimum_px: int = 1
    """The height and width of "input" must be at least this."""
    padding: str = "edge"
    """How smaller images are padded, at the right and at the bottom: edge or reflect, as numpy calls it."""

    @property
    def channels(self) -> int:
        """Number of channels of both images: 3, or 1 for luma."""
        return 1 if self.color == "luma" else 3

    def to_strings(self) -> dict[str, str]:
        """Return the fields and the schema's version as strings, sorted by key."""
        fields = {
            key: str(value)
            for key, value in dataclasses.asdict(self).items()
            if key not in _LATER or value != _LATER[key]
        }
        return dict(sorted({"schema": SCHEMA, **fields}.items()))


def from_model_json(record: Mapping[str, Any]) -> ModelMetadata:
    """Return the metadata of a network from its model.json (see sr.models.checkpoint)."""
    return ModelMetadata(
        scale=record["scale"],
        size_multiple=record["size_multiple"],
        color=record["color"],
        value_range=",".join(f"{bound:.10g}" for bound in record["value_range"]),
        preset=record["preset"],
        architecture=record["architecture"],
        weights_sha256=record["weights_sha256"],
        license=record.get("source", {}).get("license", "unknown"),
        **{name: record.get(name, default) for name, default in _LATER.items()},
    )


def from_strings(strings: Mapping[str, str], where: str) -> ModelMetadata:
    """Read the metadata back, ignoring other keys.

    Args:
        strings: what `to_strings` returned.
        where: the file, for the error message.

    Raises:
        UserError: the schema is unknown, or a field is missing, not a number or out of range.
    """
    if (schema := strings.get("schema")) != SCHEMA:
        found = "no metadata of an exported model" if schema is None else f"metadata of schema {schema}"
        message = f"{where} has {found}, but this program needs schema {SCHEMA}"
        raise UserError(message, "Export the model again with ExportOnnx or ExportOpenVINO")
    hint = "Export the model again"
    fields: dict[str, Any] = {}
    try:
        for field in dataclasses.fields(ModelMetadata):
            if field.name not in ("halo_px", *_LATER) or field.name in strings:
                text = strings[field.name]
                fields[field.name] = int(text) if field.type is int else text
    except (KeyError, ValueError) as error:
        message = f"The model metadata of {where} is incomplete or damaged: {error}"
        raise UserError(message, hint) from None
    metadata = ModelMetadata(**fields)
    for name, known in _KNOWN.items():
        if getattr(metadata, name) not in known:
            permitted = f"{known[0]} to {known[-1]}" if isinstance(known, range) else " or ".join(known)
            message = (
                f"The model metadata of {where} has a {name} of {strings[name]!r}, but it must be {permitted}"
            )
            raise UserError(message, hint)
    return metadata
