"""Read how a TIFF stores its pixels, and say which kinds are not read. Nothing is decoded.

Source: TIFF 6.0; BigTIFF has wider offsets and counts.
"""

import dataclasses
import struct

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""Little-endian and big-endian TIFF, then BigTIFF."""
_BIG = 43
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _FORMAT = 258, 259, 262, 277, 284, 338, 339
_TYPES = {1: "B", 3: "H", 4: "L", 16: "Q"}
"""By TIFF type, the layout of an unsigned integer."""
_MAX_SAMPLES = 64
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_DEPTHS = {
    _WHITE_IS_ZERO: (1, 2, 4, 8, 16), _BLACK_IS_ZERO: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8),
    _CMYK: (8, 16), _YCBCR: (8,), _LAB: (8,),
}  # fmt: skip
"""By color space, the bits per sample that are read."""
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000, 50001})
_NAMES = {
    _WHITE_IS_ZERO: "gray", _BLACK_IS_ZERO: "gray", _RGB: "RGB", _PALETTE: "palette", 4: "mask", _CMYK: "CMYK",
    _YCBCR: "YCbCr", _LAB: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "color filter array", 32844: "LogL",
    32845: "LogLuv", 34892: "linear raw",
}  # fmt: skip
_KINDS = {2: "signed", 3: "float", 5: "complex", 6: "complex float"}
_UNASSOCIATED_ALPHA = 2
_SEPARATE = 2


@dataclasses.dataclass(frozen=True)
class TiffLayout:
    """How a TIFF's first image is stored: the values of its tags, or their defaults."""

    bits: tuple[int, ...] = (1,)
    """Bits of each sample; one value may stand for all."""
    compression: int = 1
    photometric: int = 0
    """Color space."""
    samples: int = 1
    """Samples of each pixel, extra samples included."""
    planar: int = 1
    """2 if each sample has a plane of its own."""
    extra: tuple[int, ...] = ()
    """Meaning of each extra sample: 1 associated alpha, 2 unassociated alpha, 0 unspecified."""
    formats: tuple[int, ...] = (1,)
    """Number format of each sample: 1 unsigned, 2 signed, 3 float."""

    @property
    def is_white_zero(self) -> bool:
        """Whether 0 is white."""
        return self.photometric == _WHITE_IS_ZERO

    def __str__(self) -> str:
        name = _NAMES.get(self.photometric, f"color space {self.photometric}")
        kind = next((_KINDS[one] + " " for one in self.formats if one in _KINDS), "")
        planes = ", planar" if self.planar == _SEPARATE and self.samples > 1 else ""
        samples = f" x {self.samples} samples" if self.samples > 1 else ""
        bits = "/".join(map(str, dict.fromkeys(self.bits)))
        return f"TIFF: {name}, {kind}{bits} bits{samples}{planes}, compression {self.compression}"


def read_layout(content: bytes) -> TiffLayout | None:
    """Return the layout of a TIFF's first image; None if its directory is damaged or cut off."""
    try:
        tags = _read_tags(content)
    except (struct.error, OverflowError):
        return None
    if 256 not in tags or 257 not in tags:  # width and height
        return None
    ones = {tag: values[0] for tag, values in tags.items() if values}
    return TiffLayout(
        bits=tags.get(_BITS) or (1,),
        compression=ones.get(_COMPRESSION, 1),
        photometric=ones.get(_PHOTOMETRIC, 0),
        samples=ones.get(_SAMPLES, 1),
        planar=ones.get(_PLANAR, 1),
        extra=tags.get(_EXTRA, ()),
        formats=tags.get(_FORMAT) or (1,),
    )


def _read_tags(content: bytes) -> dict[int, tuple[int, ...]]:
    """Return the unsigned integers of the first directory by tag; of other types and of long lists, none."""
    order = "<" if content[:2] == b"II" else ">"
    is_big = struct.unpack_from(order + "H", content, 2)[0] == _BIG
    pointer, count, entry_bytes = ("Q", "Q", 20) if is_big else ("L", "H", 12)
    directory = struct.unpack_from(order + pointer, content, 8 if is_big else 4)[0]
    entries = struct.unpack_from(order + count, content, directory)[0]
    first, inline = directory + struct.calcsize("=" + count), struct.calcsize("=" + pointer)
    tags: dict[int, tuple[int, ...]] = {}
    for number in range(entries):
        at = first + number * entry_bytes
        tag, kind, size = struct.unpack_from(f"{order}HH{pointer}", content, at)
        if kind not in _TYPES or size > _MAX_SAMPLES:
            continue
        layout, values_at = f"{order}{size}{_TYPES[kind]}", at + 4 + inline
        if struct.calcsize(layout) > inline:
            values_at = struct.unpack_from(order + pointer, content, values_at)[0]
        tags.setdefault(tag, struct.unpack_from(layout, content, values_at))
    return tags


def unread_kind(content: bytes) -> str:
    """Say which kind a TIFF is of that is not read; empty if it may be read, or if its directory is damaged."""
    if content.startswith(b"MM\0+"):
        return "TIFF: big-endian BigTIFF"
    layout = read_layout(content)
    return "" if layout is None or _is_read(layout) else str(layout)


def _is_read(layout: TiffLayout) -> bool:
    """Return whether images of this kind are read, if they are whole."""
    is_unsigned = set(layout.formats) <= {1, 4}  # 4: undefined
    depth = layout.bits[0]
    if not is_unsigned or set(layout.bits) != {depth} or layout.compression not in _COMPRESSIONS:
        return False
    if depth not in _DEPTHS.get(layout.photometric, ()):
        return False
    return layout.planar != _SEPARATE or layout.samples == 1 or _is_read_planar(layout)


def _is_read_planar(layout: TiffLayout) -> bool:
    """Return whether Pillow reads an image with a plane for each sample. OpenCV, which reads 16 bits, does not."""
    if layout.bits[0] != 8:
        return False
    if layout.photometric == _RGB:
        return layout.samples == 3 or (layout.samples, layout.extra) == (4, (_UNASSOCIATED_ALPHA,))
    return layout.photometric == _CMYK and layout.samples == 4
