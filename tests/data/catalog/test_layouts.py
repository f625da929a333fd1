"""Datasets of the catalog are downloaded or adopted, and read, from files of the same names and layout."""

import dataclasses
import gzip
import hashlib
import io
import zipfile

import numpy as np
import pytest
from archives import encoded_image, make_tar
from server import serve_files
from videos import make_video

from data.catalog.resolve import resolve_dataset
from data.errors import UserError
from data.sources import open_source
from pipeline.download.download import DownloadSettings, download_dataset
from pipeline.download.url_list import PoliteSettings, fetch_urls, read_url_lists
from pipeline.unpack_videos import unpack_videos

TEXT = b"not an image"
PNG = encoded_image(0)


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, PNG if name.endswith(".png") else TEXT)
    return buffer.getvalue()


def shard(number):
    return gzip.compress(make_tar({f"{number:07}/{number * 1000 + 1:07}.png": PNG}))


LAYOUTS = {
    "Unsplash2K": ({"Unsplash2K.zip": zipped("Unsplash2K/0001.png")}, ["Unsplash2K/0001.png"]),
    "OSTv2": ({"OSTv2.zip": zipped("OSTv2/animal_1.png")}, ["OSTv2/animal_1.png"]),
    "DIV8K": ({"DIV8K.zip": zipped("DIV8K/0001.png")}, ["DIV8K/0001.png"]),
    "FFHQ": (
        {"FFHQ-1024-1.zip": zipped("00000.png"), "FFHQ-1024-2.zip": zipped("35000.png")},
        ["FFHQ-1024-1/00000.png", "FFHQ-1024-2/35000.png"],
    ),
    "REDS": (
        {"train_sharp.zip": zipped("train/train_sharp/000/00000000.png", "train/train_sharp/239/00000099.png")},
        ["train/train_sharp/000/00000000.png", "train/train_sharp/239/00000099.png"],
    ),
    "Set5_HR": ({"Set5_HR.tar.gz": gzip.compress(make_tar({"Set5_HR/baby.png": PNG}))}, ["Set5_HR/baby.png"]),
}  # fmt: skip
BY_HAND = {
    "LSDIR": (
        {f"shard-{number:02}.tar.gz": shard(number) for number in range(17)},
        [f"shard-{number:02}.tar/{number:07}/{number * 1000 + 1:07}.png" for number in range(17)],
    ),
    "Vimeo90K": (
        {"vimeo_septuplet.zip": zipped("vimeo_septuplet/readme.txt", "vimeo_septuplet/sequences/00001/0001/im1.png")},
        ["vimeo_septuplet/sequences/00001/0001/im1.png"],
    ),
    "Manga109": (
        {
            "Manga109_released_2023_12_07.zip": zipped(
                "Manga109_released_2023_12_07/books.txt",
                "Manga109_released_2023_12_07/images/ARMS/000.png",
                "__MACOSX/Manga109_released_2023_12_07/images/ARMS/._000.png",
            )
        },
        ["Manga109_released_2023_12_07/images/ARMS/000.png"],
    ),
}  # fmt: skip


def ids_of(dataset, out):
    return [one.id for one in open_source(dataset, [out / file.name for file in dataset.files]).scan()]


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_downloaded_is_read(name, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    contents, ids = LAYOUTS[name]
    dataset = resolve_dataset(name)
    assert [file.name for file in dataset.files] == list(contents)
    with serve_files({f"/{file}": content for file, content in contents.items()}) as server:
        files = [
            dataclasses.replace(
                file,
                urls=(f"{server.url}/{file.name}",),
                bytes=len(contents[file.name]),
                sha256=hashlib.sha256(contents[file.name]).hexdigest(),
            )
            for file in dataset.files
        ]
        here = dataclasses.replace(dataset, files=tuple(files))
        download_dataset(here, tmp_path / "out")
    assert ids_of(here, tmp_path / "out") == ids


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_fetched_by_hand_is_asked_for_and_then_read(name, tmp_path):
    contents, ids = BY_HAND[name]
    dataset, archives = resolve_dataset(name), tmp_path / "archives"
    with pytest.raises(UserError) as asked:
        download_dataset(dataset, tmp_path / "out", DownloadSettings((archives,)))
    assert str(archives) in str(asked.value) and all(file in str(asked.value) for file in contents)
    assert "http" in str(asked.value.hint) and "--store-archives FOLDER" in str(asked.value.hint)
    (archives / name).mkdir(parents=True)
    for file, content in contents.items():
        (archives / name / file).write_bytes(content)
    download_dataset(dataset, tmp_path / "out", DownloadSettings((archives,)))
    assert ids_of(dataset, tmp_path / "out") == ids


def test_a_list_of_addresses_is_downloaded_and_then_its_images(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    dataset = resolve_dataset("HQ-50K")
    assert [file.name for file in dataset.files] == ["HQ-50K.zip"]
    with serve_files({"/1.png": PNG, "/HQ-50K.zip": b""}) as server:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("HQ-50K/train/train.txt", f"{server.url}/1.png\n{server.url}/dead.png\n")
        server.files["/HQ-50K.zip"] = buffer.getvalue()
        server.served["/HQ-50K.zip"] = np.zeros(len(buffer.getvalue()), np.uint8)
        (file,) = dataset.files
        here = dataclasses.replace(
            dataset, files=(dataclasses.replace(file, urls=(f"{server.url}/HQ-50K.zip",)),)
        )
        download_dataset(here, tmp_path / "list")
        listed = read_url_lists([tmp_path / "list" / "HQ-50K.zip"])
        fetch_urls(listed, tmp_path / "out", PoliteSettings(pause=lambda seconds: None))
    image, dead = open_source(here, [tmp_path / "out"]).scan()
    assert image.id.startswith("HQ-50K/train/train/000001-") and dead.reason == "unreachable"
    assert "404" in dead.detail


@pytest.mark.parametrize(("name", "file"), [("Inter4K", "Inter4K.zip"), ("BVI-AOM", "1088p.tar.gz")])
def test_archives_of_videos_are_asked_for_unpacked_and_read(name, file, tmp_path):
    dataset, archives = resolve_dataset(name), tmp_path / "archives"
    with pytest.raises(UserError) as asked:
        download_dataset(dataset, tmp_path / "out", DownloadSettings((archives,)))
    assert file in str(asked.value) and "--store-archives FOLDER" in str(asked.value.hint)
    archives.mkdir()
    make_video(tmp_path / "1.mp4", frames=3)
    clip = (tmp_path / "1.mp4").read_bytes()
    files = {"Inter4K/60fps/UHD/1.mp4": clip, "license.txt": TEXT}
    if file.endswith(".zip"):
        with zipfile.ZipFile(archives / file, "w") as archive:
            for one, content in files.items():
                archive.writestr(one, content)
    else:
        (archives / file).write_bytes(gzip.compress(make_tar(files)))
    download_dataset(dataset, tmp_path / "out", DownloadSettings((archives,)))
    unpack_videos([tmp_path / "out" / file], tmp_path / "unpacked")
    found = list(open_source(dataset, [tmp_path / "unpacked" / "videos"]).scan())
    assert found and all(one.id.startswith("Inter4K/60fps/UHD/1.mp4") for one in found)
