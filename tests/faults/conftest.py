"""Fixtures of the fault tests: a dataset made without a fault, and a small disk."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import files, luigi
from failures import OPTIONS, mount


@pytest.fixture
def options(photo_folder: Path) -> list[str]:
    """Return the options that run a task on the folder of images, with small crops and small shards."""
    return ["--dataset", str(photo_folder), *OPTIONS]


@pytest.fixture
def undisturbed(options: list[str], tmp_path: Path) -> dict[str, bytes]:
    """Return the files of a store in which the dataset was made without a fault."""
    result = luigi(tmp_path / "undisturbed", "MakeCrops", *options)
    assert result.returncode == 0, result.stderr
    return files(tmp_path / "undisturbed")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small disk, and return its path."""
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
