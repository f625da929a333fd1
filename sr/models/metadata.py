"""What a model file says of itself, so that it can be run with nothing beside it: one record, stored as
strings.

In ONNX the strings stand in `metadata_props`, in an IR in `rt_info` under GROUP. Knows no graph and no
runtime.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError
from sr.runtime.tiling import HALO_PX

SCHEMA = "1"
GROUP = "upsampling"
"""The rt_info section of an IR that holds the strings."""


_KNOWN: dict[str, Sequence[Any]] = {
    "scale": range(2, 9),
    "size_multiple": range(1, HALO_PX + 1),
    "halo_px": range(HALO_PX + 1),
    "color": ("rgb", "luma"),
    "precision": ("fp32", "fp16", "int8"),
    "layout": ("NHWC",),
}
"""What a field may be. A file from elsewhere that says otherwise is not asked what it means: it would be padded, cut
into tiles and colored by it."""


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """How to call an exported network, and where it came from. Every field is a string in the file."""

    scale: int
    """How many times taller and wider "output" is than "input"."""
    size_multiple: int
    """The height and width of "input" must be multiples of it."""
    color: str
    """What both images are: rgb, or luma (one plane as video stores it, 16 black and 235 white)."""
    value_range: str
    """The range that the network works in, "low,high"; conversion from uint8 happens inside the graph."""
    preset: str
    architecture: str
    weights_sha256: str
    """Of model.safetensors, from which the graph was made."""
    license: str
    """Of the weights; "unknown" where nobody said."""
    precision: str = "fp32"
    """fp32, fp16 (weights stored as such) or int8."""
    layout: str = "NHWC"
    """Of "input" (uint8, n h w c) and of "output" (uint8, n scale*h scale*w c); c as `channels` says."""
    halo_px: int = 32
    """Low pixels around what is kept of a tile of a large image (sr.models.receptive_field); 32 for files that do not say."""

    @property
    def channels(self) -> int:
        """Of both images: 3, or 1 for luma."""
        return 1 if self.color == "luma" else 3

    def to_strings(self) -> dict[str, str]:
        """The fields and the schema's version as strings, sorted by key."""
        fields = {key: str(value) for key, value in dataclasses.asdict(self).items()}
        return dict(sorted({"schema": SCHEMA, **fields}.items()))


def from_model_json(record: Mapping[str, Any]) -> ModelMetadata:
    """The metadata of a network out of its model.json (see sr.models.checkpoint)."""
    return ModelMetadata(
        scale=record["scale"],
        size_multiple=record["size_multiple"],
        color=record["color"],
        value_range=",".join(f"{bound:.10g}" for bound in record["value_range"]),
        preset=record["preset"],
        architecture=record["architecture"],
        weights_sha256=record["weights_sha256"],
        license=record.get("source", {}).get("license", "unknown"),
    )


def from_strings(strings: Mapping[str, str], where: str) -> ModelMetadata:
    """Read the metadata back; other keys are left alone.

    Args:
        strings: what `to_strings` gave.
        where: the file, for the error.

    Raises:
        UserError: the schema is unknown, or a field is missing, no number or beyond its bounds.
    """
    if strings.get("schema") != SCHEMA:
        raise UserError(
            f"the metadata of an exported upsampling model, schema {SCHEMA}",
            "none" if "schema" not in strings else f"schema {strings['schema']}",
            where,
            "export the model again with ExportOnnx or ExportOpenVINO",
        )
    try:
        kinds = {field.name: field.type for field in dataclasses.fields(ModelMetadata)}
        if "halo_px" not in strings:
            del kinds["halo_px"]
        metadata = ModelMetadata(**{name: kind(strings[name]) for name, kind in kinds.items()})
    except (KeyError, ValueError) as error:
        raise UserError("complete metadata", str(error), where, "export the model again") from None
    for name, known in _KNOWN.items():
        if getattr(metadata, name) not in known:
            among = f"{known[0]} to {known[-1]}" if isinstance(known, range) else " or ".join(known)
            got = repr(strings[name])
            raise UserError(f"metadata with a {name} of {among}", got, where, "export the model again")
    return metadata
