"""The records that stages hand to each other, as frozen dataclasses. Each field says its unit and range.

All values are plain (text, numbers, tuples, dicts), so `data.record_json` can convert records to JSON and back.
"""

import dataclasses
import enum
from typing import ClassVar

SCHEMA = 2
"""The format version of every record on disk that has no VERSION of its own. Other versions are refused."""


class RejectionReason(enum.StrEnum):
    """Why an image, a frame, a video or a crop was rejected. Every rejection in a report has one of these reasons."""

    NOT_AN_IMAGE = "not_an_image"
    """Another kind of file: its name has no suffix of a supported image format."""
    UNREADABLE = "unreadable"
    """Damaged or cut off; or something else (nothing, zeros, a web page) in a file with an image's suffix."""
    UNSUPPORTED = "unsupported"
    """Valid, but of a kind that is not read: transparent, several frames, an unusual pixel format."""
    LINK = "link"
    """A link, a device or a pipe instead of a file."""
    UNSAFE_NAME = "unsafe_name"
    """An archive member whose name, used as a path, leads out of the folder."""
    UNREACHABLE = "unreachable"
    """A link of a list of URLs that gives no file: it is dead, or its host refuses."""
    OPTED_OUT = "opted_out"
    """Its host says that it must not be used for training (X-Robots-Tag: noai or noimageai)."""
    BAD_NAME = "bad_name"
    """An image to upscale whose result would have a name that is too long, or that of another result."""
    TOO_SMALL = "too_small"
    """No crop fits."""
    TOO_LARGE = "too_large"
    """More bytes or pixels than are read into memory."""
    TRUNCATED = "truncated"
    """A video that ends early. The frames before the end are used."""
    DUPLICATE = "duplicate"
    """The same bytes as an earlier image."""
    FADE = "fade"
    """A video frame in a fade."""
    FLAT = "flat"
    """Too little contrast."""
    BLURRED = "blurred"
    """Too little detail."""
    UNDEREXPOSED = "underexposed"
    """Too many pixels at black, without detail."""
    OVEREXPOSED = "overexposed"
    """Too many pixels at white, without detail."""
    BLOCKY = "blocky"
    """Visible compression blocks."""
    NOISY = "noisy"
    """Too much noise."""
    BORDERED = "bordered"
    """A border of one color."""
    PIXELATED = "pixelated"
    """Repeated rows or columns: a mosaic, or an image upscaled without a filter."""
    DRAWN = "drawn"
    """Flat colors between edges: text, a user interface, a drawing."""
    INTERLACED = "interlaced"
    """The comb of two interlaced fields."""
    UPSCALED = "upscaled"
    """Next to nothing in the highest frequencies: upscaled, or out of focus."""
    BANDED = "banded"
    """Visible steps in smooth gradients."""
    NEAR_DUPLICATE = "near_duplicate"
    """Looks nearly the same as another crop."""
    LEAKAGE = "leakage"
    """Taken from an image of a benchmark."""
    SHOWS_VALIDATION = "shows_validation"
    """A training crop that shows a part of a validation image."""
    LOW_QUALITY = "low_quality"
    """A rule of the selection excludes its metrics or scores."""
    OVER_CAP = "over_cap"
    """More than the caps of the selection allow."""


DAMAGED_SOURCE_REASONS = frozenset({RejectionReason.UNREADABLE, RejectionReason.UNSUPPORTED})
"""Reasons that mean a source image is bad, not just unwanted. They count against the budget of bad images."""


@dataclasses.dataclass(frozen=True)
class Rejection:
    """One image, frame, video or crop that was rejected, at which stage and why. Counted, stored and reported."""

    id: str
    """The id of the source image, or the key of the crop."""
    stage: str
    """index, plan, pack, select or upscale."""
    reason: RejectionReason
    detail: str
    """What was found and what the limit is, as text."""


class WarningReason(enum.StrEnum):
    """What is wrong with an image that is taken all the same, because no pixel of it is lost."""

    UNREADABLE_PROFILE = "unreadable_profile"
    """The color profile is damaged, lacks parts, or is for other colors: the colors count as sRGB."""
    LARGE_METADATA = "large_metadata"
    """Texts or the color profile of a PNG that are larger than Pillow reads: read without the texts."""
    EXTRA_BYTES = "extra_bytes"
    """Bytes between the pixels of a JPEG and its end."""
    FEWER_BITS = "fewer_bits"
    """An image to upscale whose channels have more bits than are read or written: rounded to 8."""


@dataclasses.dataclass(frozen=True)
class ImageWarning:
    """One image that was taken although something is wrong with it. Counted, stored and reported."""

    id: str
    """The id of the source image."""
    stage: str
    """pack or upscale."""
    reason: WarningReason
    detail: str
    """What was found and what was done about it, as text."""


@dataclasses.dataclass(frozen=True)
class SourceEntry:
    """One source image in the index: what its header and its stored bytes say."""

    id: str
    """Unique in its dataset. For files: the path below the dataset's root, with "/"."""
    locator: str
    """Where the source class finds the image again: a path, an archive member with its offset, a number."""
    width: int
    """In pixels, after the EXIF rotation."""
    height: int
    """In pixels, after the EXIF rotation."""
    format: str
    """Lower case: png, jpeg, webp, tiff, bmp or procedural; for a video frame its codec (h264, hevc, …)."""
    bytes: int
    """Stored size in bytes; 0 if nothing is stored."""
    sha256: str
    """Of the stored bytes; for a video frame, of the packets it is decoded from; for a drawn image, of its recipe."""
    lossy: bool
    """Whether compression leaves artifacts that only downscaling removes."""
    group: str
    """Images of one group all go to the same split."""
    bit_depth: int
    """Bits per channel as stored: 8, 16, …; pixels are always read as 8 bits."""
    modified_ns: int = 0
    """Modification time of its own file in nanoseconds since 1970; 0 if it has none. A file with the same size and time
    is not hashed again when it is read."""


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle in an image, in pixels."""

    top: int
    """First row, from 0."""
    left: int
    """First column, from 0."""
    height: int
    width: int


@dataclasses.dataclass(frozen=True)
class PlannedCrop:
    """A crop to cut from a source image."""

    key: str
    """Unique in the dataset, short, without dot or slash: the name of the crop in its shard."""
    downscale_factor: int
    """The image is downscaled by this factor before cropping: 1, 2, 4, …"""
    box: Box
    """In the downscaled image."""


@dataclasses.dataclass(frozen=True)
class PlannedSource:
    """A source image with the number of crops to cut from it, and the shard they go to."""

    entry: SourceEntry
    split: str
    """train or validation."""
    shard: int
    """Number of the shard within its split, from 0."""
    crops: int
    """How many crops, at least 1. The packer places them, because where they are depends on the pixels."""


@dataclasses.dataclass(frozen=True)
class CropRecord:
    """One crop in a shard: a line of the manifest, and `<key>.json` in the tar (without shard, offset and bytes)."""

    key: str
    """Name of the crop, unique in the dataset."""
    shard: str
    """Name of the shard without extension: train-000000."""
    offset: int
    """Position of the encoded image's first byte in the tar."""
    bytes: int
    """Size of the encoded image in bytes."""
    sha256: str
    """Of the encoded image."""
    source: str
    """The id of the source image."""
    source_sha256: str
    """SourceEntry.sha256 of the source image."""
    downscale_factor: int
    """The source image was downscaled by this factor before cropping."""
    box: Box
    """In the downscaled image."""
    phash: str
    """64-bit perceptual hash of the crop, 16 hex digits."""
    source_phashes: str
    """Perceptual hashes of the whole source image in its 8 orientations, 16 hex digits each, joined; the first is that
    of the image as it is. `pipeline.perceptual_hash` has the order."""
    metrics: dict[str, float]
    """Quality metrics by name; `pipeline.quality_metrics` documents their units and ranges."""
    split: str
    """train or validation."""
    group: str
    """SourceEntry.group of the source image."""


@dataclasses.dataclass(frozen=True)
class ShardHeader:
    """The contents and hashes of one shard. Written last: a shard with a header is complete."""

    schema: int
    shard: str
    """Name of the shard: train-000000."""
    split: str
    """train or validation."""
    samples: int
    """Number of crops."""
    sources: int
    """Number of source images that gave at least one crop."""
    image_bytes: int
    """Size of all encoded images together, in bytes."""
    tar_bytes: int
    """Size of the tar in bytes."""
    tar_xxh3: str
    """XXH3 of the tar (128 bits, 32 hex digits). It finds damage at the speed of the disk; the manifest has the sha256
    of each image."""
    index_sha256: str
    """Of the DALI index."""
    manifest_sha256: str
    """Of the manifest (.jsonl)."""
    rejections_sha256: str
    """Of the list of rejections (.jsonl)."""
    warnings: dict[str, int] = dataclasses.field(default_factory=dict)
    """Number of warnings by reason, about images that this shard was made from."""
    warnings_sha256: str = ""
    """Of the list of warnings (.jsonl); empty, as there is no list, if there are no warnings."""


@dataclasses.dataclass(frozen=True)
class DatasetManifest:
    """dataset.json: a finished crop dataset."""

    VERSION: ClassVar[int] = 5
    """5: quality metrics in natural units. 4: hashes of the source images in all orientations."""

    schema: int
    name: str
    spec_hash: str
    """12 hex digits that name the dataset's directory: the hash of everything that it was made from."""
    title: str
    license: str
    crop_size_px: int
    """Side of the square crops, in pixels."""
    image_extension: str
    """png or jpg, the same for the whole dataset."""
    shards: tuple[ShardHeader, ...]
    """Sorted by name."""
    totals: dict[str, int]
    """images (found, including damaged ones), sources (indexed images), crops, bytes (of the encoded crops), rejected
    (images and crops)."""
    rejections: dict[str, int]
    """Number of rejections by reason, over all stages up to this one."""
    citation: str
    """Empty if there is none."""
    file_sha256: dict[str, str]
    """sha256 of each file beside the shards (README.md, contact sheet, dataset.parquet, rejections, warnings), by file
    name."""
    warnings: dict[str, int] = dataclasses.field(default_factory=dict)
    """Number of warnings by reason: images that were taken although something is wrong with them."""
