from pathlib import Path

import pytest

from data.catalog.catalog import CATALOG, names, read_catalog_file, resolve
from data.errors import UserError

DATASETS = Path(__file__).parents[3] / "docs" / "datasets.md"


@pytest.mark.parametrize("path", sorted(CATALOG.glob("*.toml")), ids=lambda path: path.stem)
def test_every_catalog_file_reads_and_says_where_it_comes_from(path):
    dataset = read_catalog_file(path)
    assert dataset.name.lower() == path.stem
    assert dataset.title and dataset.license and dataset.citation
    if dataset.archives_of:
        assert resolve(dataset.archives_of).files
    for file in dataset.files:
        assert file.urls or "--store-archives" in dataset.manual
        # Without a published checksum nothing but an encrypted connection vouches for the bytes.
        assert file.checksum[1] or all(url.startswith("https://") for url in file.urls)
    assert f"`{dataset.name}`" in DATASETS.read_text()


def test_the_datasets_of_the_mission_are_there():
    lr_images = {f"DIV2K_{part}_LR_bicubic_X{scale}" for part in ("train", "valid") for scale in "234"}
    tests = {"Set5", "Set14", "BSD100", "Urban100", "Kodak"}
    assert {
        "DIV2K",
        "DIV2K_valid",
        "Flickr2K",
        "ImageNet",
        "ImageNet_val",
        "ImageNet_fall11",
    } | lr_images | tests <= set(names())


def test_names_do_not_depend_on_case():
    assert resolve("div2k") == resolve("DIV2K")
    assert {"DIV2K", "Photos", "Sample", "Set5"} <= set(names())


def test_paths(photo_folder, tmp_path):
    dataset = resolve(str(photo_folder))
    assert (dataset.kind, dataset.name, dataset.path) == ("folder", "photos", str(photo_folder))
    (tmp_path / "my set.ZIP").write_bytes(b"")
    assert (resolve(str(tmp_path / "my set.ZIP")).kind, resolve(str(tmp_path / "my set.ZIP")).name) == (
        "zip",
        "my-set",
    )


def test_a_folder_with_high_and_low_is_a_benchmark(tmp_path):
    for name in ("HR", "LR"):
        (tmp_path / "Set5" / "x2" / name).mkdir(parents=True)
    dataset = resolve(str(tmp_path / "Set5" / "x2"))
    assert dataset.name == "Set5-x2"
    assert dataset.path.endswith("HR") and dataset.lr_path.endswith("LR")


def test_videos_and_folders_of_videos_and_discs(photo_folder, tmp_path):
    (tmp_path / "A video (2026).MKV").write_bytes(b"")
    video = resolve(str(tmp_path / "A video (2026).MKV"))
    assert (video.kind, video.name) == ("video", "A-video-2026")
    rips = tmp_path / "rips"
    rips.mkdir()
    (rips / "cover.jpg").write_bytes(bytes(10))
    (rips / "video.mkv").write_bytes(bytes(11))
    assert resolve(str(rips)).kind == "video"
    (photo_folder / "clip.mp4").write_bytes(bytes(1000))
    assert resolve(str(photo_folder)).kind == "folder", "the images outweigh it"
    named, unnamed = resolve("disc:1:The Video"), resolve("disc:0")
    assert (named.kind, named.name, named.path) == ("disc", "The-Video", "1")
    assert (unnamed.kind, unnamed.name, unnamed.path) == ("disc", "disc0", "0")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("DIV2KK", "write DIV2K if"),
        ("nowhere/at/all", "nothing there"),
        ("video.xyz", "nothing there"),
    ],
)
def test_what_is_not_there_is_refused_in_words(given, message):
    with pytest.raises(UserError, match=message):
        resolve(given)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"")
    with pytest.raises(UserError, match=r"\.pdf"):
        resolve(str(tmp_path / "a.pdf"))


MINE = 'name = "Mine"\nkind = "archives"\ntitle = "t"\nlicense = "l"\n[[files]]\nname = "a.zip"\nurls = ["https://x/a.zip"]\n'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("", "= =", "mine.toml"),
        ('title = "t"\n', "", "no 'title'"),
        ('title = "t"\n', "title = 3\n", "title = 3; str"),
        ('title = "t"\n', 'title = "t"\nurl = "u"\n', "unknown field url; known are .*members"),
        ('"archives"', '"folder"', "'folder' is none of archives"),
        ('"Mine"', '"Other"', "'Other'; the file's name"),
        ('"a.zip"', '"../a.zip"', "a plain name"),
        ("https", "file", "http:// or https://"),
        ("x/a.zip", "x/a b.zip", "without spaces"),
        ("[[files]]", "[[files]]\nsha256 = 'xyz'", "hex digits"),
        ("[[files]]", "lossy = 'maybe'\n[[files]]", "by_format, yes, no"),
        ("[[files]]", "group = '(a)(b)'\n[[files]]", "one group"),
        ("[[files]]", "group = '('\n[[files]]", "mine.toml"),
        ("[[files]]", "archives_of = 'DIV2K'\n[[files]]", "either"),
        ("[[files]]", "path = 'nowhere'\n[[files]]", "nothing there"),
    ],
)
def test_a_mistake_in_a_catalog_file_is_told(old, new, words, tmp_path):
    (tmp_path / "mine.toml").write_text(MINE.replace(old, new, 1))
    with pytest.raises(UserError, match=words):
        resolve("Mine", tmp_path)


def test_a_folder_of_ones_own_adds_datasets_and_replaces_built_in_ones(tmp_path, photo_folder):
    catalog = tmp_path / "catalog"
    catalog.mkdir()
    (catalog / "Holiday.toml").write_text(
        f'name = "Holiday"\ntitle = "Mine"\nlicense = "mine"\npath = "../{photo_folder.name}"\ngroup = "folder"\n'
    )
    (catalog / "div2k.toml").write_text(MINE.replace("Mine", "DIV2K"))
    mine = resolve("holiday", catalog)
    assert (mine.name, mine.kind, mine.path, mine.group) == ("Holiday", "folder", str(photo_folder), "folder")
    assert resolve("DIV2K", catalog).files[0].name == "a.zip" != resolve("DIV2K").files[0].name
    assert {"Holiday", "DIV2K", "Sample"} <= set(names(catalog))
    with pytest.raises(UserError, match=r"\[store\] catalog"):
        resolve("DIV2K", tmp_path / "nowhere")


def test_compressed_tars_are_datasets_too(tmp_path):
    (tmp_path / "a.b.tar.gz").write_bytes(b"")
    assert (resolve(str(tmp_path / "a.b.tar.gz")).kind, resolve(str(tmp_path / "a.b.tar.gz")).name) == (
        "tar",
        "a-b",
    )
