"""Formats that are read for upscaling only: pixels, rotation, profile and depth are those that were stored."""

import importlib.util
import io

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401  # registers the format
import pytest
from images import textured
from PIL import Image, ImageCms

from data.imaging import other_formats
from data.imaging.decode import ImageFault
from data.imaging.other_formats import decode_other, kind_of, missing_reader

pillow_heif.register_heif_opener()
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RGB = textured(5, 40, 60)
GRAY = RGB[:, :, 0]
RGBA = np.dstack([RGB, GRAY])


def stored(pixels: np.ndarray, name: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name, **options)
    return file.getvalue()


def heic(pixels: np.ndarray, mode: str, **options) -> bytes:
    file = io.BytesIO()
    image = pillow_heif.from_bytes(mode, pixels.shape[1::-1], pixels.tobytes())
    image.save(file, quality=-1, chroma=444, format="HEIF", **options)
    return file.getvalue()


def decode(content: bytes, suffix: str = "") -> tuple[str, np.ndarray]:
    kind = kind_of(content, suffix)
    image = decode_other(content, kind)
    return kind, np.dstack([image.colors] + ([image.alpha] if image.alpha is not None else []))


CASES = [
    ("GIF", stored(GRAY, "GIF"), np.dstack([GRAY] * 3), 0),
    ("AVIF", stored(RGB, "AVIF", quality=100, subsampling="4:4:4"), RGB, 3),
    ("AVIF", stored(RGBA, "AVIF", quality=100, subsampling="4:4:4"), RGBA, 3),
    ("JPEG XL", stored(RGBA, "JXL", lossless=True), RGBA, 0),
    ("JPEG XL", stored(GRAY, "JXL", lossless=True, use_container=True), GRAY, 0),
    ("JPEG 2000", stored(RGB, "JPEG2000"), RGB, 0),
    ("JPEG 2000", stored(RGBA, "JPEG2000", no_jp2=True), RGBA, 0),
    ("QOI", stored(RGBA, "QOI"), RGBA, 0),
    ("DDS", stored(RGBA, "DDS"), RGBA, 0),
    ("TGA", stored(RGB, "TGA"), RGB, 0),
    ("PPM", stored(RGB, "PPM"), RGB, 0),
    ("PPM", stored(GRAY, "PPM"), GRAY, 0),
    ("HEIC", heic(RGB, "RGB"), RGB, 3),
    ("HEIC", heic(RGBA, "RGBA"), RGBA, 3),
]


@pytest.mark.parametrize(("kind", "content", "pixels", "tolerance"), CASES)
def test_pixels(kind, content, pixels, tolerance):
    suffix = {"TGA": ".tga", "PPM": ".ppm"}.get(kind, ".jpg")
    found, decoded = decode(content, suffix)
    assert found == kind and decoded.dtype == np.uint8
    np.testing.assert_allclose(decoded.astype(int).squeeze(), pixels.astype(int), atol=tolerance)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(("kind", "content"), [case[:2] for case in CASES])
def test_a_file_that_is_cut_off_is_unreadable(kind, content, share):
    suffix = {"TGA": ".tga", "PPM": ".ppm"}.get(kind, ".jpg")
    cut = content[: int(share * len(content))]
    with pytest.raises(ImageFault, match="unreadable"):
        decode_other(cut, kind_of(cut, suffix))


def test_ten_bits_of_heic_are_kept_with_white_as_white():
    deep = (np.linspace(0, 1023, 60 * 40).astype(np.uint16).reshape(40, 60, 1) * np.uint16([1, 1, 1])) << 6
    deep[-1, -1] = 65535
    decoded = decode(heic(deep, "RGB;16"))[1]
    assert decoded.dtype == np.uint16 and len(np.unique(decoded)) > 900
    np.testing.assert_allclose(decoded.astype(int), (deep >> 6) * 65535.0 / 1023, atol=200)
    assert decoded[-1, -1].max() == 65535


@pytest.mark.parametrize("name", ["AVIF", "JXL", "HEIF"])
def test_images_are_upright_and_keep_profile_and_exif(name):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    # JPEG XL has its orientation in the codestream, which Pillow's writer leaves at 1.
    upright = RGB if name == "JXL" else np.rot90(RGB, -1)
    options = {"lossless": True} if name == "JXL" else {"icc_profile": PROFILE, "quality": 100}
    content = stored(RGB, name, exif=exif.tobytes(), **options)
    image = decode_other(content, kind_of(content, ""))
    assert image.colors.shape == upright.shape
    assert np.abs(image.colors.astype(int) - upright).mean() < 8
    assert image.icc == PROFILE or name == "JXL"
    read = Image.Exif()
    read.load(image.exif)
    assert read.get(0x010F) == "Maker" and 0x0112 not in read


def test_colors_given_by_numbers_are_kept_as_a_png_chunk():
    content = stored(RGB, "AVIF")
    at = content.find(b"colrnclx") + 8
    assert decode_other(content, "AVIF").png_chunks == ()
    pq = content[:at] + bytes([0, 9, 0, 16]) + content[at + 4 :]
    assert decode_other(pq, "AVIF").png_chunks == ((b"cICP", bytes([9, 16, 0, 1])),)


def test_a_file_without_its_reader_says_what_to_install(monkeypatch):
    assert not missing_reader("HEIC") and not missing_reader("AVIF")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImageFault, match=r"HEIC needs pillow-heif; run pip install 'super.*\[formats\]'"):
        decode_other(heic(RGB, "RGB"), "HEIC")


def deep_jpeg_2000() -> bytes:
    content = bytearray(stored(GRAY, "JPEG2000", no_jp2=True))
    content[content.find(b"\xff\x4f\xff\x51") + 42] = 11
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "suffix", "words"),
    [
        (b"P6 # deep\n2 1\n65535\n" + bytes(12), ".ppm", "a PPM of more than 8 bits"),
        (b"P5 2 1 65535\n" + bytes(4), ".pgm", "a PPM of more than 8 bits"),
        (deep_jpeg_2000(), "", "a JPEG 2000 of 12 bits"),
        (stored(np.zeros((4, 4), np.uint16), "JXL", lossless=True), "", "a JPEG XL of 16 bits"),
        (heic(RGB, "RGB").replace(b"ftypheix", b"ftyphevc"), "", "a sequence of HEIF images"),
    ],
)
def test_what_would_lose_something_is_refused_by_name(content, suffix, words):
    with pytest.raises(ImageFault, match=f"unsupported: {words}"):
        decode(content, suffix)


@pytest.mark.parametrize("kind", ["QOI", "JPEG XL", "HEIC", "PPM"])
def test_an_enormous_image_is_refused_before_it_is_decoded(kind, monkeypatch):
    monkeypatch.setattr(other_formats, "LARGEST_PX", 40 * 60 - 1)
    content = next(content for name, content, _, _ in CASES if name == kind)
    with pytest.raises(ImageFault, match="too_large: 60x40"):
        decode(content, ".ppm")
