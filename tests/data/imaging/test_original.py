"""Pixels are decoded without conversion, and the metadata is kept."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from images import textured
from PIL import Image

from data.imaging.original import decode_original


def tiff(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb", **options)
    return file.getvalue()


def add_chunks(png: bytes, chunks: dict[bytes, bytes]) -> bytes:
    made = b""
    for name, content in chunks.items():
        made += (
            struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))
        )
    return png[:33] + made + png[33:]  # behind the header


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_premultiplied_colors_are_divided_by_alpha(kind):
    top = np.iinfo(kind).max
    alpha = np.linspace(0, top, 64).astype(kind).reshape(8, 8)
    alpha[0, 1] = 1
    pixels = np.zeros((8, 8, 4), kind)
    pixels[:, :, 0], pixels[:, :, 1], pixels[:, :, 3] = alpha, alpha // 2, alpha
    read = decode_original(tiff(pixels, extrasamples=["assocalpha"]))
    np.testing.assert_array_equal(read.alpha, alpha)
    assert (read.colors[alpha > 0, 0] == top).all() and (read.colors[:, :, 2] == 0).all()
    shown = alpha >= 8
    halves = np.rint((alpha // 2)[shown] / alpha[shown] * top)
    assert np.abs(read.colors[shown, 1] - halves).max() <= (0.5 if kind == np.uint16 else 1)
    plain = decode_original(tiff(pixels, extrasamples=["unassalpha"]))
    np.testing.assert_array_equal(plain.colors, pixels[:, :, :3])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_fourth_channel_that_is_not_alpha_is_left_out(kind):
    pixels = np.dstack([textured(1, 9, 9), textured(2, 9, 9)[:, :, :1]]).astype(kind)
    read = decode_original(tiff(pixels, extrasamples=["unspecified"]))
    assert read.alpha is None
    np.testing.assert_array_equal(read.colors, pixels[:, :, :3])


def test_a_tiff_keeps_tags_about_the_image_and_drops_tags_about_its_layout():
    exif = Image.Exif()
    exif[0x010E], exif[0x010F], exif[0x0112], exif[0x011A] = "Wood", "Maker", 6, 300.5
    exif.get_ifd(0x8769).update({0x829A: 0.01, 0xA002: 60, 0x927C: b"note"})
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.5)})
    file, loaded = io.BytesIO(), Image.Exif()
    loaded.load(exif.tobytes())
    Image.fromarray(textured(1, 40, 60)).save(file, "TIFF", exif=loaded)
    kept = Image.Exif()
    kept.load(decode_original(file.getvalue()).exif)
    assert {tag: kept[tag] for tag in kept if tag not in (0x8769, 0x8825)} == {
        0x010E: "Wood", 0x010F: "Maker", 0x011A: 300.5,
    }  # fmt: skip
    assert kept.get_ifd(0x8769) == {0x829A: 0.01, 0x927C: b"note"}
    assert kept.get_ifd(0x8825) == {1: "N", 2: (1.0, 2.0, 3.5)}
    described = tiff(
        textured(1, 9, 9), description='{"shape": [9, 9, 3]}', software=False, resolution=(72, 72)
    )
    kept.load(decode_original(described).exif)
    assert 0x010E not in kept and kept[0x011A] == 72


def test_the_exif_of_a_jpeg_is_kept_except_rotation_and_size():
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "Grün".encode("latin-1"), 6
    exif.get_ifd(0x8769).update({0x829A: 0.01, 0xA002: 60, 0xA003: 40})
    exif.get_ifd(0x8825).update({1: "N"})
    file, kept = io.BytesIO(), Image.Exif()
    Image.fromarray(textured(1, 40, 60)).save(file, "JPEG", exif=exif.tobytes())
    kept.load(decode_original(file.getvalue()).exif)
    assert kept[0x010E] == "Grün" and 0x0112 not in kept
    assert kept.get_ifd(0x8769) == {0x829A: 0.01} and kept.get_ifd(0x8825) == {1: "N"}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_color_chunks_of_a_png_are_kept_and_change_no_pixel(bits, channels):
    pixels = textured(1, 20, 30)
    pixels = np.dstack([pixels, pixels[:, :, :1]])[:, :, :channels].astype(np.uint16) * (
        257 if bits == 16 else 1
    )
    pixels = pixels.astype(np.uint16 if bits == 16 else np.uint8)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    chunks = {
        b"cICP": bytes([9, 16, 0, 1]),
        b"gAMA": struct.pack(">L", 100000),
        b"cHRM": struct.pack(">8L", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600),
        b"pHYs": struct.pack(">LLB", 11811, 11811, 1),
    }
    read, bare = decode_original(add_chunks(png, chunks)), decode_original(png)
    assert dict(read.png_chunks) == chunks and bare.png_chunks == ()
    np.testing.assert_array_equal(read.colors, bare.colors)
    np.testing.assert_array_equal(read.colors[:, :, ::-1], pixels[:, :, : read.colors.shape[2]])
