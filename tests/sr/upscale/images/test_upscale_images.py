"""Upscaled images keep formats, profiles, EXIF and alpha; a killed run resumes; no other file is overwritten."""

import io
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import tifffile
from images import textured
from PIL import Image, ImageCms

from data.errors import UserError
from data.hashing import sha256_file
from data.imaging.decode import SUFFIXES
from data.imaging.original import OriginalImage, decode_original
from sr.models.metadata import HALO_PX
from sr.runtime.load import load_upscaler
from sr.upscale.__main__ import main
from sr.upscale.images.journal import Journal
from sr.upscale.images.transparent_pixels import fill_transparent
from sr.upscale.images.upscale_image import upscale_image, upscale_rows
from sr.upscale.images.upscale_images import upscale_images
from sr.upscale.images.writers import open_writer

REPOSITORY = Path(__file__).parents[4]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def make_exif() -> bytes:
    """Return a TIFF structure as `data.imaging.original` returns it, with EXIF and GPS directories."""
    exif = Image.Exif()
    exif[0x010E], exif[0x010F], exif[0x011A] = "Grün".encode("latin-1"), "Maker", 300.5
    exif.get_ifd(0x8769).update({0x829A: 0.01, 0x9003: "2020:01:01 00:00:00", 0x927C: b"note"})
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.5)})
    return exif.tobytes().removeprefix(b"Exif\0\0")


EXIF = make_exif()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with an image of each kind, and a damaged one."""
    root, lr_image = tmp_path / "in", textured(1, 40, 60)
    (root / "sub").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    Image.fromarray(lr_image).save(root / "turned.jpg", exif=exif, icc_profile=PROFILE, quality=95)
    Image.fromarray(lr_image).save(root / "sub" / "a.bmp")
    Image.fromarray(lr_image).save(root / "sub" / "a.png", icc_profile=PROFILE, exif=exif)
    Image.fromarray(lr_image[:, :, 0]).save(root / "gray.png", dpi=(300, 300))
    Image.fromarray(lr_image).save(root / "w.webp", exif=exif, icc_profile=PROFILE)
    deep = lr_image.astype(np.uint16) * 257 + 13
    cv2.imwrite(str(root / "deep.png"), deep)
    tifffile.imwrite(root / "deep.tif", deep, photometric="rgb", iccprofile=PROFILE, software="S")
    alpha = np.where(np.arange(60) < 30, 0, 255).astype(np.uint8)
    clear = np.dstack([lr_image, np.broadcast_to(alpha, (40, 60))])
    Image.fromarray(clear).save(root / "clear.png")
    shutil.copy(root / "clear.png", root / "named.jpg")
    (root / "bad.png").write_bytes((root / "gray.png").read_bytes()[:90])
    return root


def stored(path: Path) -> OriginalImage:
    return decode_original(path.read_bytes())


def test_formats_and_metadata_are_kept_and_damaged_images_are_listed(folder, tmp_path):
    output = tmp_path / "out"
    record = upscale_images(folder, output, tmp_path / "store", load_upscaler("bicubic"))
    names = {one["id"]: str(Path(one["output"]).relative_to(output)) for one in record["images"]}
    assert names.pop("sub/a.bmp") == "sub/a.bmp.png"
    assert len(names) == 7 and all(name == id for id, name in names.items())
    assert [(one["id"], one["reason"]) for one in record["rejections"]] == [
        ("bad.png", "unreadable"),
        ("named.jpg", "unsupported"),
    ]
    for id in names:
        before, after = stored(folder / id), stored(output / id)
        assert after.colors.shape == tuple(np.multiply(before.colors.shape, (2, 2, 1))), id
        assert (after.colors.dtype, after.icc, after.exif) == (before.colors.dtype, before.icc, before.exif)
        assert after.png_chunks == before.png_chunks and bool(after.png_chunks) == (id == "gray.png")
        assert bool(after.exif) == (id in ("turned.jpg", "sub/a.png", "w.webp", "deep.tif")), id
        small = cv2.resize(after.colors, before.colors.shape[1::-1], interpolation=cv2.INTER_AREA)
        apart = np.abs(small.reshape(before.colors.shape).astype(float) - before.colors)
        visible = before.alpha == 255 if before.alpha is not None else ...
        assert apart[visible].mean() < 8 * (257 if before.colors.dtype == np.uint16 else 1), id
    with Image.open(output / "turned.jpg") as turned:
        assert turned.size == (80, 120) and turned.getexif().get(0x0112, 1) == 1
        assert turned.getexif()[0x010F] == "Maker" and turned.info["icc_profile"] == PROFILE
    upright = np.ascontiguousarray(np.rot90(textured(1, 40, 60), -1))
    np.testing.assert_array_equal(stored(output / "sub" / "a.png").colors, load_upscaler("bicubic")(upright))
    assert len(np.unique(stored(output / "deep.png").colors % 257)) > 50, "more than 8 bits' levels"


def test_colors_of_invisible_pixels_do_not_bleed_into_edges(tmp_path):
    lr_image = np.full((20, 40, 4), 200, np.uint8)
    lr_image[:, :20] = 0
    lr_image[:, 20:, 3] = 255
    Image.fromarray(lr_image).save(tmp_path / "lr.png")
    upscale_image(tmp_path / "lr.png", tmp_path / "hr.png", load_upscaler("bicubic"))
    made = np.asarray(Image.open(tmp_path / "hr.png"))
    assert made.shape == (40, 80, 4) and (made[:, :, :3] == 200).all()
    assert made[0, 0, 3] == 0 and made[0, -1, 3] == 255 and 0 < made[0, 40, 3] < 255


def test_windows_give_the_same_colors_as_the_whole_image(monkeypatch):
    stream = np.random.default_rng(4)
    colors = stream.integers(0, 65535, (700, 500, 3), np.uint16)
    alpha = np.where(cv2.blur(stream.random((700, 500)), (141, 141)) > 0.5, 1, 0).astype(np.uint16)
    whole, parts = colors.copy(), colors.copy()
    fill_transparent(whole, alpha)
    monkeypatch.setattr("sr.upscale.images.transparent_pixels._WINDOW_PX", 200)
    fill_transparent(parts, alpha)
    far = cv2.distanceTransform(np.uint8(alpha == 0), cv2.DIST_L2, cv2.DIST_MASK_5)
    near = far < 1.5 * HALO_PX
    assert 0.2 < (far > 0).mean() < 0.8 and far.max() > 2 * HALO_PX
    np.testing.assert_array_equal(parts[near], whole[near])
    np.testing.assert_array_equal(parts[alpha > 0], colors[alpha > 0])
    assert (parts[near & (alpha == 0)] != colors[near & (alpha == 0)]).any(axis=1).mean() > 0.99


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_file_written_in_bands_holds_the_image(suffix, kind, channels):
    whole = np.random.default_rng(channels).integers(0, np.iinfo(kind).max, (150, 33, channels), kind, True)
    file = io.BytesIO()
    writer = open_writer(suffix, file, whole.shape, whole.dtype, OriginalImage(whole, None, PROFILE, b""), 95)
    for rows in np.split(whole, [1, 70, 77]):
        writer.add(rows)
    writer.finish()
    if suffix == ".tif":
        np.testing.assert_array_equal(
            tifffile.imread(io.BytesIO(file.getvalue())).reshape(whole.shape), whole
        )
    if suffix == ".tif" and channels == 2 and kind == np.uint16:
        return  # Pillow cannot read that
    back = decode_original(file.getvalue())
    planes = [back.colors] if back.alpha is None else [back.colors, back.alpha[:, :, None]]
    np.testing.assert_array_equal(np.concatenate(planes, axis=2), whole)
    assert back.icc == PROFILE


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_finishing_without_all_rows_raises(suffix):
    whole = np.zeros((9, 5, 3), np.uint8)
    writer = open_writer(
        suffix, io.BytesIO(), whole.shape, whole.dtype, OriginalImage(whole, None, b"", b""), 95
    )
    writer.add(whole[:8])
    with pytest.raises(ValueError, match="1 too few"):
        writer.finish()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_webp_has_the_pixels_of_one_that_pillow_writes(channels):
    whole = np.random.default_rng(1).integers(0, 256, (60, 70, channels), np.uint8)
    file, theirs = io.BytesIO(), io.BytesIO()
    writer = open_writer(
        ".webp", file, whole.shape, whole.dtype, OriginalImage(whole, None, PROFILE, EXIF), 90
    )
    for rows in np.split(whole, [7]):
        writer.add(rows)
    writer.finish()
    Image.fromarray(whole[:, :, 0] if channels == 1 else whole).save(theirs, "WEBP", quality=90)
    ours = Image.open(file)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(Image.open(theirs)))
    assert (ours.info["icc_profile"], ours.info["exif"]) == (PROFILE, EXIF)


def test_large_tiffs_are_bigtiffs(monkeypatch):
    monkeypatch.setattr("sr.upscale.images.writers._CLASSIC_TIFF_BYTES", 1000)
    whole = textured(1, 130, 20)
    file = io.BytesIO()
    writer = open_writer(
        ".tif", file, whole.shape, whole.dtype, OriginalImage(whole, None, PROFILE, EXIF), 95
    )
    writer.add(whole)
    writer.finish()
    back = decode_original(file.getvalue())
    assert file.getvalue()[:4] == b"II+\0" and (back.icc, back.exif) == (PROFILE, EXIF)
    np.testing.assert_array_equal(back.colors, whole)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_with_alpha_in_bands_match_the_whole_image(suffix, tmp_path, realtime_dir, monkeypatch):
    upscaler = load_upscaler(realtime_dir)
    stream = np.random.default_rng(3)
    alpha = np.where(cv2.blur(stream.random((170, 150)), (41, 41)) > 0.5, stream.random((170, 150)), 0)
    lr_image = np.dstack([textured(3, 170, 150), 255 * alpha]) * 257
    cv2.imwrite(str(tmp_path / f"lr{suffix}"), lr_image.astype(np.uint16)[:, :, [2, 1, 0, 3]])
    made = []
    for number, memory_mb in enumerate((1, 1500)):
        seen = []
        run = upscaler.run_levels
        monkeypatch.setattr(
            upscaler, "run_levels", lambda batch, run=run, seen=seen: (seen.append(batch), run(batch))[1]
        )
        upscale_image(tmp_path / f"lr{suffix}", tmp_path / f"{number}{suffix}", upscaler, memory_mb=memory_mb)
        monkeypatch.undo()
        made.append(stored(tmp_path / f"{number}{suffix}"))
        assert len(seen) == (1 if memory_mb == 1500 else 4), "the budget decides the tiles"
    tiles, whole = made
    np.testing.assert_array_equal(tiles.alpha, whole.alpha)
    shows = whole.alpha > 0
    assert 0.2 < shows.mean() < 0.8 and whole.colors.dtype == np.uint16
    assert np.abs(tiles.colors[shows].astype(int) - whole.colors[shows]).max() <= 257


@pytest.mark.parametrize("model_dir", ["realtime_dir", "vapsr_dir"])
def test_the_result_does_not_depend_on_the_tile_size(model_dir, request):
    upscaler = load_upscaler(request.getfixturevalue(model_dir))
    lr_image = OriginalImage(textured(3, 151, 201), None, b"", b"")
    whole = upscaler(lr_image.colors).astype(int)
    for tile_px in (128, 144):
        made = np.concatenate(list(upscale_rows(lr_image, upscaler, tile_px)))
        assert made.shape == whole.shape and np.abs(made - whole).max() <= 1


def test_a_killed_run_resumes_to_the_same_bytes_and_keeps_finished_results(folder, tmp_path):
    upscale_images(folder, tmp_path / "whole", tmp_path / "other", load_upscaler("bicubic"))
    output, store = tmp_path / "out", tmp_path / "store"
    command = [
        sys.executable,
        str(Path(__file__).parent / "killed_images.py"),
        str(folder),
        str(output),
        str(store),
    ]
    killed = subprocess.run(command, env={"PYTHONPATH": str(REPOSITORY), "PATH": ""}, check=False, timeout=60)
    assert killed.returncode == -9
    there = sorted(path for path in output.rglob("*") if path.is_file())
    assert len(there) == 2
    first = (output / "clear.png").stat()
    upscale_images(folder, output, store, load_upscaler("bicubic"))
    assert (output / "clear.png").stat() == first, "it was finished"
    files = {path.relative_to(output): path.read_bytes() for path in output.rglob("*") if path.is_file()}
    assert files == {
        path.relative_to(tmp_path / "whole"): path.read_bytes()
        for path in (tmp_path / "whole").rglob("*")
        if path.is_file()
    }


def test_files_of_others_are_not_overwritten(folder, tmp_path):
    def upscale(output):
        upscale_images(folder, output, tmp_path / "store", load_upscaler("bicubic"))

    with pytest.raises(UserError, match="would overwrite the images"):
        upscale(folder)
    (tmp_path / "out").mkdir()
    shutil.copy(folder / "gray.png", tmp_path / "out")
    with pytest.raises(UserError, match="not made with these settings"):
        upscale(tmp_path / "out")
    upscale(tmp_path / "mine")
    shutil.copy(folder / "gray.png", tmp_path / "mine" / "bad.png")  # made by hand, as it was rejected
    with pytest.raises(UserError, match="bad.png exists, and was not made with these settings"):
        upscale(tmp_path / "mine")


def test_new_and_repaired_images_are_upscaled_and_other_results_stay(folder, tmp_path):
    output, store = tmp_path / "out", tmp_path / "store"

    def upscale():
        record = upscale_images(folder, output, store, load_upscaler("bicubic"))
        return {one["id"] for one in record["rejections"]}, record["fingerprint"]

    assert upscale()[0] == {"bad.png", "named.jpg"}
    before = {path: path.stat() for path in output.rglob("*.*")}
    shutil.copy(folder / "gray.png", folder / "bad.png")
    shutil.copy(folder / "deep.png", folder / "new.png")
    Image.fromarray(textured(7, 30, 20)).save(folder / "clear.png")
    rejected, fingerprint = upscale()
    assert rejected == {"named.jpg"}
    after = {path: path.stat() for path in output.rglob("*.*")}
    assert {path.name for path in after if before.get(path) != after[path]} == {
        "bad.png",
        "new.png",
        "clear.png",
    }
    assert stored(output / "clear.png").colors.shape == (60, 40, 3)
    assert upscale() == (rejected, fingerprint)
    assert {path: path.stat() for path in output.rglob("*.*")} == after
    (output / "gray.png").write_bytes(b"retouched")
    for _ in range(2):
        with pytest.raises(UserError, match="gray.png was changed after it was made"):
            upscale()
        shutil.copy(folder / "deep.png", folder / "gray.png")
    assert (output / "gray.png").read_bytes() == b"retouched"
    (output / "gray.png").unlink()
    assert upscale()[0] == rejected and stored(output / "gray.png").colors.dtype == np.uint16


def test_a_kill_while_a_changed_image_is_written_loses_nothing(folder, tmp_path, monkeypatch):
    arguments = folder / "gray.png", tmp_path / "out", tmp_path / "store", load_upscaler("bicubic")
    upscale_images(*arguments)
    shutil.copy(folder / "deep.png", folder / "gray.png")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "record_finish", Mock(side_effect=KeyboardInterrupt))
        upscale_images(*arguments)
    assert upscale_images(*arguments)["images"][0]["sha256"] == sha256_file(folder / "deep.png")


def test_an_input_error_of_the_disk_ends_the_run_and_rejects_no_image(folder, tmp_path):
    (folder / "io.png").symlink_to("/proc/self/mem")  # looks like a file; reading it is an I/O error
    with pytest.raises(UserError, match=r"Input/output error while reading .*io.png\. Check the disk"):
        upscale_images(folder, tmp_path / "out", tmp_path / "store", load_upscaler("bicubic"))
    (folder / "io.png").unlink()
    record = upscale_images(folder, tmp_path / "out", tmp_path / "store", load_upscaler("bicubic"))
    assert len(record["images"]) == 8
    assert "io.png" not in [one["id"] for one in record["rejections"]]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_a_full_disk_names_the_output(suffix, tmp_path, capsys, file_size_limit):
    Image.fromarray(textured(1, 90, 90)).save(tmp_path / f"in{suffix}")
    output = tmp_path / "out" / f"hr{suffix}"
    with file_size_limit(4096):
        assert main([str(tmp_path / f"in{suffix}"), str(output), "--model", "bicubic"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "File too large" in line and str(output) in line and "Free disk space" in line
    assert not list(output.parent.iterdir())


def test_the_command_upscales_one_image(folder, tmp_path, capsys):
    output = tmp_path / "out.png"
    assert main([str(folder / "gray.png"), str(output), "--model", "lanczos", "--scale", "3"]) == 0
    assert stored(output).colors.shape == (120, 180, 1)
    for arguments in (
        [str(folder / "no.png"), "o.png"],
        [str(folder / "bad.png"), str(output)],
        [str(output)] * 2,
    ):
        assert main([*arguments, "--model", "bicubic"]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_command_resumes_a_folder(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (folder / ".thumbs").mkdir()
    shutil.copy(folder / "gray.png", folder / ".thumbs")
    assert main([str(folder), "out", "--model", "bicubic"]) == 3
    assert "bad.png: unreadable" in capsys.readouterr().err
    made = {path: path.stat() for path in Path("out").rglob("*.*") if path.suffix in SUFFIXES}
    assert len(made) == 8
    (folder / "bad.png").unlink()
    (folder / "named.jpg").unlink()
    assert main([str(folder), "out", "--model", "bicubic"]) == 0
    assert {path: path.stat() for path in made} == made
    assert main([str(folder), "out", "--model", "bicubic", "--quality", "80"]) == 1
    assert "not made with these settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--scale", "0"], "--scale must be 2 to 8, got 0"),
        (["--scale", "-2"], "--scale must be 2 to 8, got -2"),
        (["--quality", "500"], "--quality must be 1 to 100, got 500"),
        (["--quality", "-5"], "--quality must be 1 to 100, got -5"),
        (["--memory-mb", "0"], "must be 1 or more, got 0"),
    ],
)
def test_a_value_out_of_range_is_reported_in_one_line(option, words, folder, tmp_path, capsys):
    output = tmp_path / "o.webp"
    assert main([str(folder / "w.webp"), str(output), "--model", "bicubic", *option]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line and not output.exists()


@pytest.mark.parametrize(("suffix", "width"), [(".jpg", 32751), (".webp", 8192)])
def test_a_result_too_large_for_its_format_becomes_a_png(suffix, width, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name, pixels in (("over", width), ("under", width - 1)):
        Image.fromarray(np.full((1, pixels, 3), 99, np.uint8)).save(tmp_path / "in" / f"{name}{suffix}")
    upscale_images(tmp_path / "in", tmp_path / "out", tmp_path / "store", load_upscaler("bicubic"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"over.png", f"under{suffix}"}
    assert stored(tmp_path / "out" / "over.png").colors.shape == (2, 2 * width, 3)
    arguments = [str(tmp_path / "in" / f"over{suffix}"), str(tmp_path / f"o{suffix}"), "--model", "bicubic"]
    assert main(arguments) == 1
    assert f"would be {2 * width}x2; {suffix} allows" in capsys.readouterr().err


def test_importing_the_package_loads_no_heavy_library():
    code = "import sys, sr; assert not {'torch', 'numpy', 'openvino'} & set(sys.modules); sr.load_upscaler('bicubic')"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=60)
