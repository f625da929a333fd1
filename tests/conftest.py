"""Fixtures for all tests: a folder of images, and the material that is not in the repository."""

import os
import signal
from pathlib import Path

import cv2
import pytest
from images import textured

# Tests leave nothing in the user's cache. The tests of the cache set a directory of their own.
os.environ["SR_COMPILED_MODELS"] = "off"

# A shell starts background programs with SIGINT ignored, and child processes inherit that. Tests send real SIGINTs.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name a parameter of bytes after its argument: the two workers of pytest-xdist have to give a test one name.

    The content of a file made while the tests are collected may hold the time (as that of gzip does).
    """
    return argname if isinstance(val, bytes) else None


LONG_FILES = (
    "test_end_to_end.py",
    "docs/test_docs.py",
    "tasks/test_commands.py",
    "faults/test_sources.py",
    "tasks/test_publish.py",
    "training/test_launch.py",
    "training/test_trainer.py",
    "video/test_times.py",
    "export/test_to_openvino.py",
    "export/test_to_interchange.py",
    "export/test_ir_graph.py",
    "models/test_model_contents.py",
    "models/test_spandrel_models.py",
)
"""Files that take half a minute or more."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files, so that none of them runs at the end while the other worker has nothing left."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG_FILES))


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Give a folder with six PNGs of several sizes, a JPEG, a duplicate, and files that are not images."""
    root = tmp_path / "photos"
    (root / "trip").mkdir(parents=True)
    for number, (height, width) in enumerate(
        [(300, 420), (260, 256), (512, 640), (256, 700), (400, 400), (333, 555)]
    ):
        folder = root / "trip" if number % 2 else root
        cv2.imwrite(str(folder / f"p{number}.png"), textured(number, height, width))
    cv2.imwrite(str(root / "camera.jpg"), textured(9, 600, 800))
    cv2.imwrite(str(root / "small.png"), textured(10, 64, 900))
    (root / "notes.txt").write_text("not an image")
    (root / "same.png").write_bytes((root / "p0.png").read_bytes())
    (root / "link.png").symlink_to(root / "p0.png")
    return root


@pytest.fixture
def shared() -> Path:
    """Give the folder of shared images and weights, which SR_SHARED names; skip the test without it."""
    if "SR_SHARED" not in os.environ:
        pytest.skip("SR_SHARED does not name the folder of shared material")
    return Path(os.environ["SR_SHARED"])
