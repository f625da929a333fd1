"""Make crops of DIV2K, Flickr2K and ImageNet, from small archives of the same layout; URLs and checksums differ."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from images import textured
from PIL import Image
from server import serve_files

from data.catalog.resolve import BUILT_IN_CATALOG

REPOSITORY = Path(__file__).parents[2]


def stored(seed: int, format: str, mode: str = "RGB", height: int = 160, width: int = 200) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(textured(seed, height, width)).convert(mode).save(buffer, format, quality=95)
    return buffer.getvalue()


def tar_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def div2k() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("DIV2K_train_HR/", b"")
        for number in range(1, 7):
            archive.writestr(f"DIV2K_train_HR/{number:04d}.png", stored(number, "PNG"))
    return buffer.getvalue()


def flickr2k() -> bytes:
    names = [f"Flickr2K/Flickr2K_HR/{number:06d}.png" for number in range(1, 7)]
    members = {name: stored(20 + number, "PNG") for number, name in enumerate(names)}
    members["Flickr2K/Flickr2K_LR_bicubic/X2/000001x2.png"] = stored(99, "PNG", height=80, width=100)
    return tar_of(members)


def imagenet() -> bytes:
    classes = {}
    for number, name in enumerate(("n01440764", "n01443537", "n02105855")):
        images = {f"{name}_{k}.JPEG": stored(40 + 9 * number + k, "JPEG") for k in range(4)}
        images[f"{name}_cmyk.JPEG"] = stored(80 + number, "JPEG", "CMYK")
        images[f"{name}_png.JPEG"] = stored(90 + number, "PNG")
        classes[f"{name}.tar"] = tar_of(images)
    return tar_of(classes)


ARCHIVES = {
    "DIV2K": ("DIV2K_train_HR.zip", div2k(), 6),
    "Flickr2K": ("Flickr2K.tar", flickr2k(), 6),
    "ImageNet": ("ILSVRC2012_img_train.tar", imagenet(), 18),
}


def write_catalog(folder: Path, dataset: str, url: str = "") -> None:
    """Write the catalog file of a dataset with other URLs, sizes and checksums."""
    file, content, _ = ARCHIVES[dataset]
    text = (BUILT_IN_CATALOG / f"{dataset.lower()}.toml").read_text().partition("[[files]]")[0]
    text += (
        f'[[files]]\nname = "{file}"\nbytes = {len(content)}\nmd5 = "{hashlib.md5(content).hexdigest()}"\n'
    )
    folder.mkdir(exist_ok=True)
    (folder / f"{dataset}.toml").write_text(
        text + (f'urls = ["{url}/gone", "{url}/{file}"]\n' if url else "")
    )


def luigi(root: Path, task: str, dataset: str, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "luigi", "--module", "tasks", task, "--dataset", dataset, *options]
    command += ["--store-root", str(root / "store"), "--crops-size-px", "64", "--workers", "2"]
    environment = {name: value for name, value in os.environ.items() if name != "LUIGI_CONFIG_PATH"}
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def totals(root: Path, dataset: str) -> dict[str, int]:
    (record,) = (root / "store" / "crops").glob(f"{dataset}-*/dataset.json")
    return json.loads(record.read_text())["totals"]


@pytest.mark.parametrize("dataset", ARCHIVES)
def test_a_dataset_becomes_crops(dataset, tmp_path):
    file, content, images = ARCHIVES[dataset]
    with serve_files({f"/{file}": content}) as server:
        cuts = [len(content) // 2]
        server.cut = lambda size: cuts.pop() if cuts else None
        write_catalog(tmp_path / "catalog", dataset, server.url)
        result = luigi(tmp_path, "MakeCrops", dataset, "--store-catalog", str(tmp_path / "catalog"))
        assert result.returncode == 0, result.stderr
        assert server.twice == 0
    assert totals(tmp_path, dataset)["sources"] == images and totals(tmp_path, dataset)["crops"] > 0
    files = {
        path.name for path in (tmp_path / "store").rglob("*") if path.suffix in (".JPEG", ".jpg", ".png")
    }
    assert files <= {"contact-sheet.jpg"}, "archives must not be unpacked"


def test_an_archive_that_must_be_fetched_by_hand_is_requested_linked_and_indexed_in_place(tmp_path):
    file, content, images = ARCHIVES["ImageNet"]
    write_catalog(tmp_path / "catalog", "ImageNet")
    options = ["--store-catalog", str(tmp_path / "catalog")]
    refused = luigi(tmp_path, "MakeCrops", "ImageNet", *options)
    assert refused.returncode != 0 and len(refused.stderr.splitlines()) == 1
    assert re.search(r"egister at https://image-net.org.* --store-archives FOLDER", refused.stderr)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / file).write_bytes(content)
    result = luigi(tmp_path, "MakeCrops", "ImageNet", *options, "--store-archives", str(tmp_path / "mine"))
    assert result.returncode == 0, result.stderr
    assert totals(tmp_path, "ImageNet")["sources"] == images
    (link,) = (tmp_path / "store" / "downloads").glob(f"ImageNet-*/{file}")
    assert link.is_symlink() and link.resolve() == tmp_path / "mine" / file
    by_path = luigi(tmp_path, "IndexSource", str(tmp_path / "mine" / file))
    assert by_path.returncode == 0, by_path.stderr


def test_a_folder_whose_name_is_not_utf8_becomes_crops(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(folder)).mkdir()
    for seed in range(2):
        Path(os.fsdecode(folder), f"{seed}.png").write_bytes(stored(seed, "PNG"))
    result = luigi(tmp_path, "MakeCrops", os.fsdecode(folder))
    assert result.returncode == 0, result.stderr
    (card,) = tmp_path.glob("store/crops/caf-*/README.md")
    assert "caf\\xe9" in card.read_text(encoding="utf-8")
