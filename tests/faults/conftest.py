"""What the tests of faults share: a dataset that was made without any, and a disk of one's own."""

import subprocess
from pathlib import Path

import pytest
from commands import files, luigi
from failures import OPTIONS, mount


@pytest.fixture
def options(photo_folder: Path) -> list[str]:
    """Give the options of any task on the folder of images, with small crops and small shards."""
    return ["--dataset", str(photo_folder), *OPTIONS]


@pytest.fixture
def undisturbed(options: list[str], tmp_path: Path) -> dict[str, bytes]:
    """Give the files of a store in which the dataset was made without a fault."""
    result = luigi(tmp_path / "undisturbed", "MakeCrops", *options)
    assert result.returncode == 0, result.stderr
    return files(tmp_path / "undisturbed")


@pytest.fixture
def disk(tmp_path: Path):
    """Give a small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
