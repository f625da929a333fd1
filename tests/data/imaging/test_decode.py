import io

import cv2
import numpy as np
import pytest
from images import textured
from PIL import Image, ImageCms, ImageOps

from data.imaging.decode import LARGEST_PX, ImageFault, decode, probe
from data.records import RejectionReason


def stored(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


PIXELS = textured(1, 48, 80)
PIL_IMAGE = Image.fromarray(PIXELS)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_back_equal(format):
    content = stored(PIL_IMAGE, format)
    assert np.array_equal(decode(content), PIXELS)
    header = probe(content)
    assert (header.height, header.width, header.format, header.lossy) == (48, 80, format.lower(), False)


def test_webp_is_lossy_unless_it_is_without_loss():
    exact = stored(PIL_IMAGE, "WEBP", lossless=True)
    assert np.array_equal(decode(exact), PIXELS) and not probe(exact).lossy
    assert not probe(stored(PIL_IMAGE, "WEBP", lossless=True, exif=b"Exif\0\0", icc_profile=b"x" * 200)).lossy
    assert probe(stored(PIL_IMAGE, "WEBP", quality=90)).lossy


def test_exif_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = stored(PIL_IMAGE, "PNG", exif=exif)
    assert np.array_equal(decode(content), np.rot90(PIXELS, -1))
    assert (probe(content).height, probe(content).width) == (80, 48)


def test_gray_palette_cmyk_and_deep_gray_become_rgb():
    gray = PIL_IMAGE.convert("L")
    expected = np.repeat(np.asarray(gray)[:, :, None], 3, axis=2)
    assert np.array_equal(decode(stored(gray, "PNG")), expected)
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    assert np.array_equal(decode(stored(deep, "PNG")), expected)
    palette = PIL_IMAGE.convert("P")
    assert np.array_equal(decode(stored(palette, "PNG")), np.asarray(palette.convert("RGB")))
    assert decode(stored(PIL_IMAGE.convert("CMYK"), "JPEG", quality=95)).shape == (48, 80, 3)


def test_an_embedded_profile_is_applied():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.abs(decode(stored(PIL_IMAGE, "PNG", icc_profile=profile)).astype(int) - PIXELS).max() <= 1
    assert np.array_equal(decode(stored(PIL_IMAGE, "PNG", icc_profile=b"not a profile")), PIXELS)


def test_transparency_is_refused_and_an_opaque_alpha_channel_dropped():
    opaque = PIL_IMAGE.convert("RGBA")
    assert np.array_equal(decode(stored(opaque, "PNG")), PIXELS)
    opaque.putpixel((3, 3), (0, 0, 0, 128))
    with pytest.raises(ImageFault) as fault:
        decode(stored(opaque, "PNG"))
    assert fault.value.reason is RejectionReason.UNSUPPORTED


@pytest.mark.parametrize(("alpha", "level"), [("black", 0), ("white", 255)])
def test_transparency_is_composited_if_requested(alpha, level):
    mask = np.tile(np.linspace(0, 255, 80).astype(np.uint8), (48, 1))
    layered = np.dstack([PIXELS, mask])
    share = mask[:, :, None] / 255
    expected = PIXELS * share + level * (1 - share)
    found = decode(stored(Image.fromarray(layered), "PNG"), alpha)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_truncated_file_is_refused(format):
    content = stored(PIL_IMAGE, format)
    with pytest.raises(ImageFault) as fault:
        decode(content[: len(content) * 2 // 3])
    assert fault.value.reason is RejectionReason.UNREADABLE


def test_a_flipped_byte_in_a_png_is_found():
    content = bytearray(stored(PIL_IMAGE, "PNG"))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(ImageFault) as fault:
        decode(bytes(content))
    assert fault.value.reason is RejectionReason.UNREADABLE


def test_bombs_and_several_frames_are_refused():
    side = int(LARGEST_PX**0.5) + 1
    bomb = stored(Image.new("1", (side, side)), "PNG")
    assert len(bomb) < 1_000_000
    with pytest.raises(ImageFault) as fault:
        probe(bomb)
    assert fault.value.reason is RejectionReason.TOO_LARGE
    with pytest.raises(ImageFault, match="2 frames"):
        probe(stored(PIL_IMAGE, "TIFF", save_all=True, append_images=[PIL_IMAGE]))


def test_files_that_are_not_images_are_recognized():
    for content in (b"", b"hello", bytes(100)):
        with pytest.raises(ImageFault) as fault:
            probe(content)
        assert fault.value.reason is RejectionReason.UNREADABLE


def by_pillow(content: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(content))
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 60, "subsampling": 2}),
        ("JPEG", {"quality": 75, "progressive": True}),
        ("JPEG", {"quality": 95, "keep_rgb": True}),
        ("JPEG", {"quality": 80, "restart_marker_rows": 1}),
    ],
)
def test_the_fast_decoders_give_the_pixels_of_pillow(format, options):
    content = stored(Image.fromarray(textured(2, 101, 203)), format, **options)
    assert np.array_equal(decode(content), by_pillow(content))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = stored(PIL_IMAGE, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    assert np.array_equal(decode(content), expected)


def test_sixteen_bits_are_rounded_not_cut_off():
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), np.uint16)
    content = cv2.imencode(".png", deep[:, :, ::-1])[1].tobytes()
    assert np.abs(decode(content) - deep / 257).max() <= 0.5


def test_an_srgb_profile_changes_no_pixel_and_another_does():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(stored(PIL_IMAGE, "PNG", icc_profile=srgb)), PIXELS)
    swapped = profile_with_red_and_green_swapped(srgb)
    moved = decode(stored(PIL_IMAGE, "PNG", icc_profile=swapped))
    assert np.abs(moved.astype(int) - PIXELS).max() > 20


def profile_with_red_and_green_swapped(srgb: bytes) -> bytes:
    return srgb.replace(b"rXYZ", b"????", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"????", b"gXYZ", 1)


def test_a_camera_jpeg_with_a_preview_behind_it_is_read():
    content = stored(PIL_IMAGE, "MPO", save_all=True, append_images=[PIL_IMAGE.resize((16, 16))], quality=95)
    assert probe(content).format == "jpeg"
    assert decode(content).shape == PIXELS.shape
