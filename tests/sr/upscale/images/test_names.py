"""Every name that a file system takes works; what looks like an image and is not taken is a rejection."""

import json
import os
import shutil
from pathlib import Path

import pytest
from images import textured
from PIL import Image

from data.errors import UserError
from sr.runtime.load import load_upscaler
from sr.upscale.__main__ import main
from sr.upscale.images.upscale_images import upscale_images


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def add(folder: Path, *names: str | bytes) -> None:
    for number, name in enumerate(names):
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(textured(number, 12, 16)).save(path, "PNG")


def upscale(folder: Path) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """Upscale a folder; return the ids of the images, and the reason and detail of each rejection."""
    directory = folder.parent / "store"
    record = upscale_images(folder, folder.parent / "out", directory, load_upscaler("bicubic"))
    stored = [json.loads(line) for line in (directory / "rejections.jsonl").read_bytes().splitlines()]
    assert stored == record["rejections"]
    return [one["id"] for one in record["images"]], {
        one["id"]: (one["reason"], one["detail"]) for one in record["rejections"]
    }


ODD = [b"caf\xe9.png", b"\xff\xfe.png", b"two\nlines \x1b[31m.png", b"-rf.png"]
ODD += [b"l" * 251 + b".png", "é".encode() * 125 + b".png"]


def test_every_name_that_the_file_system_takes_is_upscaled_and_the_run_resumes(folder, tmp_path):
    add(folder, *ODD, b"\xe9t\xe9/a.png", "NFC\u00e9.png", "NFC\u0065\u0301.png", "a.png", "A.png")
    images, rejections = upscale(folder)
    assert len(images) == 11 and not rejections and all(id.isprintable() for id in images)
    assert r"caf\xe9.png" in images and r"two\x0alines \x1b[31m.png" in images
    made = sorted(path for path, _, _ in os.walk(os.fsencode(tmp_path / "out")))
    assert len(made) == 2 and set(ODD) < set(os.listdir(made[0])) and os.listdir(made[1]) == [b"a.png"]
    before = {path: path.stat() for path in (tmp_path / "out").rglob("*")}
    assert upscale(folder) == (images, rejections)
    assert {path: path.stat() for path in (tmp_path / "out").rglob("*")} == before


def test_the_command_prints_names_escaped_and_upscales_the_rest(folder, tmp_path, capsys):
    add(folder, "good.png", b"\xe9\x1b[2J\n.png")
    (folder / os.fsdecode(b"\xe9\x1b[2J\n.png")).write_bytes(b"\x89PNG\r\n")
    assert main([str(folder), str(tmp_path / "out"), "--model", "bicubic"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(r"sr.upscale: \xe9\x1b[2J\x0a.png: unreadable") and line.isprintable()
    single = [str(folder / os.fsdecode(b"\xe9\x1b[2J\n.png")), str(tmp_path / "o.png"), "--model", "bicubic"]
    assert main(single) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()


def test_results_with_names_too_long_are_rejections_and_the_others_go_on(folder):
    Image.fromarray(textured(1, 12, 16)).save(folder / f"{'l' * 251}.bmp", "BMP")
    add(folder, "good.png", f"{'l' * 251}.png")
    images, rejections = upscale(folder)
    assert len(images) == 2
    detail = "its result would have a name of 259 bytes, and the file system takes 255 at most; rename it"
    assert rejections == {f"{'l' * 251}.bmp": ("bad_name", detail)}


def test_a_path_too_long_for_the_results_is_a_rejection(folder, tmp_path):
    add(folder, "good.png")
    deep, name = tmp_path, "d" * 200
    os.chdir(folder)
    try:
        for _ in range(25):  # deeper than any path that the system takes
            Path(name).mkdir()
            if len(os.fsencode(folder)) + len(deep.parts) * 201 < 4000:
                deep /= name
            os.chdir(name)
    finally:
        os.chdir(tmp_path)
    images, rejections = upscale(folder)
    assert images == ["good.png"]
    ((id, (reason, detail)),) = rejections.items()
    assert id.startswith(name) and (reason, detail) == (
        "bad_name",
        "a folder whose path is too long for the system",
    )


def test_a_name_that_another_result_has_is_a_rejection(folder):
    add(folder, "a.png", "a.bmp.png")
    Image.fromarray(textured(3, 12, 16)).save(folder / "a.bmp")
    images, rejections = upscale(folder)
    assert images == ["a.bmp.png", "a.png"]
    assert rejections == {
        "a.bmp": ("bad_name", "its result would have the name of that of a.bmp.png; rename it")
    }


def test_two_names_for_one_place_never_overwrite_each_other(folder, tmp_path):
    """As on a file system that takes A/x.png and a/x.png for one name."""
    add(folder, "A/x.png", "a/x.png", "b.png")
    (tmp_path / "out" / "A").mkdir(parents=True)
    (tmp_path / "out" / "a").symlink_to("A")
    for _ in range(2):
        images, rejections = upscale(folder)
        assert images == ["A/x.png", "b.png"]
        assert (
            rejections["a/x.png"][0] == "bad_name" and "overwrite that of another" in rejections["a/x.png"][1]
        )
        assert Image.open(tmp_path / "out" / "A" / "x.png").size == (32, 24)


def test_what_looks_like_an_image_and_is_not_taken_is_listed(folder, tmp_path):
    add(folder, "good.png", "no-suffix", "page.jpg_large", "note.txt")
    (folder / "note.txt").write_text("BM: no image")
    for name in ("layers.psd", "raw.NEF", "icon.ico", "drawing.svg", "high.exr"):
        (folder / name).write_bytes(b"anything")
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "video.mkv").write_bytes(b"\x1aE\xdf\xa3")
    images, rejections = upscale(folder)
    assert images == ["good.png"]
    assert {id: reason for id, (reason, _) in rejections.items()} == {
        **dict.fromkeys(("layers.psd", "raw.NEF", "icon.ico", "drawing.svg", "high.exr"), "unsupported"),
        **dict.fromkeys(("no-suffix", "page.jpg_large"), "unsupported"),
        **dict.fromkeys(("pipe.png", "loop.png", "linked"), "link"),
        "gone.jpg": "unreadable",
    }
    assert (
        "its content is PNG" in rejections["no-suffix"][1] and "NEF is not read" in rejections["raw.NEF"][1]
    )


def test_a_folder_of_nothing_that_is_read_says_what_is_there(folder, tmp_path):
    (folder / "raw.nef").write_bytes(b"anything")
    with pytest.raises(UserError, match=r"None of the 1 images .* raw.nef: NEF is not read"):
        upscale(folder)
    shutil.move(folder / "raw.nef", folder / "notes.txt")
    with pytest.raises(UserError, match="contains no image"):
        upscale(folder)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("file/out", "is not a folder"),
        ("/proc/out", "/proc cannot be written to"),
        (f"{'l' * 256}.png", "would have a name of 260 bytes"),
        ("in", "is a folder"),
    ],
)
def test_an_output_that_cannot_be_written_is_found_before_the_model_is_loaded(
    output, words, folder, tmp_path, capsys
):
    add(folder, "a.png")
    (tmp_path / "file").write_bytes(b"")
    output = output if output.endswith((".png", "in")) else f"{output}/o.png"
    source = folder / "a.png"
    assert main([str(source), str(tmp_path / output), "--model", "no-such-model.onnx"]) == 1
    assert words in capsys.readouterr().err
    if ("folder" in words and output != "in") or output.startswith("/proc"):
        assert main([str(folder), str(tmp_path / output), "--model", "no-such-model.onnx"]) == 1
        assert words in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "in"]
