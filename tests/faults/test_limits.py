"""Programs that get no memory or no file handle end in words: no image and no checkpoint is taken for damaged."""

import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

from sr.training.checkpoints import Checkpoint, save_checkpoint

PRELUDE = """
import os, resource, sys
from pathlib import Path
from data.errors import UserError

root = Path(sys.argv[1])

def limit_memory(megabytes):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 1_000_000,) * 2)

def limit_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1,) * 2)
"""


def run(code, root, **environment):
    """Run code in a process of its own, and return what it prints."""
    command = [sys.executable, "-c", PRELUDE + code, str(root)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | environment, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_an_image_to_upscale_that_gets_no_file_handle_is_not_rejected(photo, tmp_path):
    code = """
from sr.upscale.images.upscale_image import read_image
read_image(root / "photo.png")
limit_files()
try:
    read_image(root / "photo.png")
except UserError as error:
    print(error)
"""
    words = run(code, tmp_path)
    assert "Too many open files while reading" in words and "photo.png. Raise the limit" in words


def test_an_image_to_upscale_that_gets_no_memory_is_not_rejected(tmp_path):
    Image.new("RGB", (5000, 5000)).save(tmp_path / "large.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "small.png")
    code = """
from sr.upscale.__main__ import main
main([str(root / "small.png"), str(root / "small-out.png"), "--model", "bicubic"])
limit_memory(30)
sys.stderr = sys.stdout
print(main([str(root / "large.png"), str(root / "out.png"), "--model", "bicubic"]))
"""
    *_, words, code = run(code, tmp_path).split("\n")
    assert words.startswith("sr.upscale: Memory ran out while reading") and code == "1"
    assert not (tmp_path / "out.png").exists()


def test_the_name_of_a_result_does_not_depend_on_a_limit_of_open_files(photo, tmp_path):
    code = """
from PIL import Image
from sr.upscale.images.jobs import _output_suffix
Image.open(root / "photo.webp").close()
limit_files()
try:
    print(_output_suffix(root / "photo.webp", 2))
except OSError as error:
    print(error.strerror)
"""
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.webp")
    assert run(code, tmp_path) == "Too many open files"


def test_checkpoints_and_weights_that_get_no_file_handle_are_not_damaged(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.pth")
    save_checkpoint(tmp_path, Checkpoint(5, {"weight": torch.zeros(2)}, {"a": 1}), keep=2)
    code = """
from sr.models.checkpoint_file import read_pth
from sr.training.checkpoints import load_latest_checkpoint
limit_files()
for read in (lambda: load_latest_checkpoint(root, print), lambda: read_pth(root / "model.pth")):
    try:
        print(read())
    except OSError as error:
        print(error.strerror)
"""
    # A checkpoint that is skipped as damaged would be deleted with the next one.
    assert run(code, tmp_path) == "Too many open files\nToo many open files"


def test_lr_images_that_get_no_file_handle_are_not_taken_for_hr_images(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "1.png")
    code = """
from PIL import Image
from data.catalog.hr_lr_sets import _read_size
Image.open(root / "1.png").close()
limit_files()
try:
    print(_read_size(str(root / "1.png")))
except OSError as error:
    print(error.strerror)
"""
    assert run(code, tmp_path) == "Too many open files"


def test_a_panic_of_rust_code_without_memory_does_not_hang_a_worker(tmp_path):
    Image.new("RGB", (4000, 4000)).save(tmp_path / "large.png")
    code = """
from data.imaging.decode import decode
from pipeline.worker_pool import map_in_order
content = (root / "large.png").read_bytes()

def work(item):
    limit_memory(12)
    try:
        decode(content)
    except MemoryError:
        yield item, b"memory"

for item in map_in_order(work, [0, 1], 2, 100):
    print([bytes(content) for _, content in item])
"""
    assert run(code, tmp_path, RUST_BACKTRACE="1") == "[b'memory']\n[b'memory']"
