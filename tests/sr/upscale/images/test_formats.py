"""Each format that Pillow and its plugins read is upscaled; animations keep frames, times and the loop count."""

import io
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401  # registers the format
import pytest
from images import textured
from PIL import Image

from data.imaging.webp import is_lossless_webp
from sr.runtime.load import load_upscaler
from sr.upscale.__main__ import main
from sr.upscale.images.upscale_images import upscale_images

pillow_heif.register_heif_opener()
LR = textured(5, 24, 32)
DURATIONS = [50, 120, 30, 200]


def upscale(folder: Path) -> dict:
    return upscale_images(folder, folder.parent / "out", folder.parent / "store", load_upscaler("bicubic"))


def test_every_format_is_upscaled_and_what_cannot_be_written_becomes_a_png(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    names = "a.heic b.avif c.jxl d.gif e.jfif f.jp2 g.ppm h.tga i.qoi j.dds k.jpe"
    for name in names.split():
        Image.fromarray(LR).save(folder / name, **({"quality": 95} if name != "i.qoi" else {}))
    Image.fromarray(LR).save(folder / "l.jpg", "HEIF", quality=95)
    record = upscale(folder)
    assert record["rejections"] == [] and len(record["images"]) == 12
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == [
        "a.png",
        "b.png",
        "c.png",
        "d.png",
        "e.jfif",
        "f.png",
        "g.png",
        "h.png",
        "i.png",
        "j.png",
        "k.jpe",
        "l.jpg",
    ]
    for path in (tmp_path / "out").iterdir():
        with Image.open(path) as image:
            assert image.format == ("PNG" if path.suffix == ".png" else "JPEG") and image.size == (64, 48)
            small = np.asarray(image.convert("RGB").resize((32, 24), Image.Resampling.BOX), float)
        assert np.abs(small - LR).mean() < 12, path.name


def frames() -> list[Image.Image]:
    """Four images of few colors, with a transparent part that moves."""
    images = []
    for number in range(4):
        pixels = np.zeros((24, 32, 4), np.uint8)
        pixels[:, 8 * number :] = [40 * number, 200 - 40 * number, 90, 255]
        pixels[4:12, 4:12] = [250, 10, 10 * number, 255]
        images.append(Image.fromarray(pixels))
    return images


def shown(path: Path) -> tuple[list[np.ndarray], list[float], int | None]:
    """Return an animation's frames as RGBA, their durations, and its loop count."""
    with Image.open(path) as image:
        found, durations = [], []
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            found.append(np.asarray(image.convert("RGBA")).astype(int))
            durations.append(image.info["duration"])
        return found, durations, image.info.get("loop")


SAVED = {
    ".gif": {"disposal": 2},
    ".png": {"disposal": 1, "blend": 0},
    ".apng": {"disposal": 2, "blend": 1, "format": "PNG"},
    ".webp": {"lossless": True, "exact": True},
}


@pytest.mark.parametrize("loop", [0, 3])
@pytest.mark.parametrize("suffix", list(SAVED))
def test_every_frame_of_an_animation_is_upscaled_as_it_is_shown(suffix, loop, tmp_path):
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / f"a{suffix}"
    first, *others = frames()
    first.save(source, save_all=True, append_images=others, duration=DURATIONS, loop=loop, **SAVED[suffix])
    assert upscale(tmp_path / "in")["rejections"] == []
    before, after = shown(source), shown(tmp_path / "out" / f"a{suffix}")
    assert len(after[0]) == 4 and before[1:] == after[1:] == (DURATIONS, loop)
    for lr_frame, hr_frame in zip(before[0], after[0], strict=True):
        small = np.asarray(
            Image.fromarray(hr_frame.astype(np.uint8)).resize((32, 24), Image.Resampling.BOX), int
        )
        assert np.abs(small[:, :, 3] - lr_frame[:, :, 3]).mean() < 6
        visible = (lr_frame[:, :, 3] == 255) & (small[:, :, 3] == 255)
        assert visible.mean() > 0.1 and np.abs(small - lr_frame)[visible].mean() < 8


def test_a_gif_that_plays_once_plays_once(tmp_path):
    (tmp_path / "in").mkdir()
    first, *others = [frame.convert("RGB") for frame in frames()]
    first.save(tmp_path / "in" / "a.gif", save_all=True, append_images=others, duration=100)
    upscale(tmp_path / "in")
    assert shown(tmp_path / "out" / "a.gif")[1:] == ([100] * 4, None)
    assert main([str(tmp_path / "in" / "a.gif"), str(tmp_path / "a.webp"), "--model", "bicubic"]) == 0
    assert shown(tmp_path / "a.webp")[1:] == ([100] * 4, 1)


def test_the_default_image_of_an_apng_stays_one(tmp_path):
    (tmp_path / "in").mkdir()
    first, *others = frames()
    first.save(
        tmp_path / "in" / "a.png", save_all=True, append_images=others, duration=80, default_image=True
    )
    upscale(tmp_path / "in")
    with Image.open(tmp_path / "out" / "a.png") as made:
        assert made.n_frames == 4 and made.info["default_image"] and made.size == (64, 48)


def test_an_animated_avif_becomes_an_animated_png(tmp_path):
    (tmp_path / "in").mkdir()
    first, *others = [frame.convert("RGB") for frame in frames()]
    first.save(tmp_path / "in" / "a.avif", save_all=True, append_images=others, duration=DURATIONS)
    assert upscale(tmp_path / "in")["rejections"] == []
    assert shown(tmp_path / "out" / "a.png")[1] == DURATIONS


def animated(suffix: str = ".gif") -> bytes:
    file = io.BytesIO()
    first, *others = frames()
    first.save(
        file, {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}[suffix], save_all=True, append_images=others
    )
    return file.getvalue()


def deep_apng() -> bytes:
    content = bytearray(animated(".png"))
    content[24] = 16
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cut.gif", animated()[:-60], "cut off at frame 4"),
        ("cut.webp", animated(".webp")[:-100], "unreadable"),
        ("cut.png", animated(".png")[:-100], "unreadable"),
        ("a.jpg", animated(), "an animation of 4 frames, but .jpg cannot be one"),
        ("a.tif", animated(".webp"), "an animation of 4 frames, but .tif cannot be one"),
        ("deep.png", deep_apng(), "an animated PNG of 16 bits per channel"),
    ],
)
def test_an_animation_that_cannot_be_upscaled_whole_is_refused_by_name(name, content, words, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(content)
    Image.fromarray(LR).save(tmp_path / "in" / "good.png")
    (one,) = upscale(tmp_path / "in")["rejections"]
    assert words in f"{one['reason']}: {one['detail']}"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


def test_an_animation_over_the_memory_limit_says_so(tmp_path, capsys):
    (tmp_path / "a.gif").write_bytes(animated())
    arguments = [str(tmp_path / "a.gif"), str(tmp_path / "o.gif"), "--model", "bicubic"]
    assert main([*arguments, "--memory-mb", "450"]) == 1
    assert "4 frames of 64x48 need" in capsys.readouterr().err


@pytest.mark.parametrize("channels", [3, 4])
def test_a_lossless_webp_stays_lossless(channels, tmp_path):
    lr_image = np.dstack([LR, LR[:, :, 0]])[:, :, :channels]
    Image.fromarray(lr_image).save(tmp_path / "a.webp", lossless=True, exact=True)
    Image.fromarray(lr_image).save(tmp_path / "a.png")
    for name in ("a.webp", "a.png"):
        assert main([str(tmp_path / name), str(tmp_path / f"hr-{name}"), "--model", "lanczos"]) == 0
    with Image.open(tmp_path / "hr-a.webp") as made, Image.open(tmp_path / "hr-a.png") as right:
        np.testing.assert_array_equal(np.asarray(made), np.asarray(right))
    Image.fromarray(lr_image).save(tmp_path / "lossy.webp", quality=80)
    assert main([str(tmp_path / "lossy.webp"), str(tmp_path / "hr-lossy.webp"), "--model", "lanczos"]) == 0
    assert not is_lossless_webp((tmp_path / "hr-lossy.webp").read_bytes())


def test_a_still_image_can_be_written_as_a_gif(tmp_path):
    Image.fromarray(LR).save(tmp_path / "a.png")
    assert main([str(tmp_path / "a.png"), str(tmp_path / "o.gif"), "--model", "bicubic"]) == 0
    with Image.open(tmp_path / "o.gif") as made:
        assert made.size == (64, 48) and getattr(made, "n_frames", 1) == 1


def test_a_scale_that_the_model_does_not_have_is_refused(tmp_path, realtime_dir, capsys):
    Image.fromarray(LR).save(tmp_path / "a.png")
    arguments = [str(tmp_path / "a.png"), str(tmp_path / "o.png"), "--model", str(realtime_dir)]
    assert main([*arguments, "--scale", "4"]) == 1
    assert "--scale is 4, but the model" in capsys.readouterr().err
    assert main(arguments) == 0


def avif_of_10_bits() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="avif") as container:
        stream = container.add_stream("libsvtav1", rate=1, options={"svtav1-params": "lp=1"})
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p10le"
        deep = np.full((64, 64, 3), 30000, np.uint16)
        frame = av.VideoFrame.from_ndarray(deep, "rgb48le").reformat(format="yuv420p10le")
        for one in (frame, None):
            container.mux(stream.encode(one))
    return file.getvalue()


def test_what_is_rounded_or_left_out_is_a_warning_that_a_resumed_run_repeats(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "deep.avif").write_bytes(avif_of_10_bits())
    cv2.imwrite(str(tmp_path / "deep.png"), LR.astype(np.uint16) * 257)
    (tmp_path / "deep.png").rename(folder / "deep.jpg")
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    Image.fromarray(LR).save(tmp_path / "large.png", exif=exif)
    (tmp_path / "large.png").rename(folder / "large.jpg")
    expected = [("deep.avif", "fewer_bits"), ("deep.jpg", "fewer_bits"), ("large.jpg", "large_metadata")]
    for _ in range(2):
        record = upscale(folder)
        assert [(one["id"], one["reason"]) for one in record["warnings"]] == expected
        assert "an AVIF of 10 bits per channel, read as 8" in record["warnings"][0]["detail"]
    assert main([str(folder / "deep.avif"), str(tmp_path / "o.png"), "--model", "bicubic"]) == 0
    assert "deep.avif: fewer_bits: an AVIF of 10 bits" in capsys.readouterr().err
