"""Datasets, images, stores and results whose names are not UTF-8, on the command line."""

import os
from pathlib import Path

import pytest
from commands import luigi
from images import textured
from PIL import Image

NAMES = [
    b"a.png",
    b"caf\xe9.png",
    b"two\nlines\x1b[31m.png",
    b"-rf.png",
    b"l" * 251 + b".png",
    b"\xff d/x.png",
]


@pytest.fixture
def odd(tmp_path) -> Path:
    """A folder of images with odd names; its own name is not UTF-8."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    for number, name in enumerate(NAMES):
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(textured(number, 140, 140)).save(path)
    return folder


def test_images_of_every_name_are_upscaled(odd, tmp_path):
    (odd / os.fsdecode(b"\xe9bad.png")).write_bytes(b"\x89PNG\r\n")
    output = tmp_path / os.fsdecode(b"out\xe9")
    arguments = ["--input", str(odd), "--output-dir", str(output), "--model", "bicubic"]
    for _ in range(2):
        ended = luigi(tmp_path / os.fsdecode(b"store\xe9"), "UpscaleImages", *arguments)
        assert ended.returncode == 3, ended.stderr
        assert "6 images, 1 rejected." in ended.stdout and r"\xe9bad.png: unreadable" in ended.stdout
        assert all(line.isprintable() for line in (ended.stdout + ended.stderr).splitlines())
    made = [os.fsencode(path.relative_to(output)) for path in output.rglob("*") if path.is_file()]
    assert sorted(made) == sorted(NAMES)


def test_crops_are_made_of_images_of_every_name(odd, tmp_path):
    store = tmp_path / os.fsdecode(b"store\xe9")
    for task in ("MakeCrops", "VerifyDataset"):
        ended = luigi(store, task, "--dataset", str(odd), "--crops-size-px", "128")
        assert ended.returncode == 0 and "6 crops" in ended.stdout, ended.stdout + ended.stderr
