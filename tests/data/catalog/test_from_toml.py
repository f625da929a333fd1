import inspect
from pathlib import Path

import pytest

from data.catalog.from_toml import read_catalog_file
from data.catalog.resolve import BUILT_IN_CATALOG, resolve_dataset
from data.catalog.spec import SAMPLE_OPTIONS
from data.errors import UserError
from data.sources import open_source
from data.sources.sample import SampleSource

DATASETS = Path(__file__).parents[3] / "docs" / "reference" / "datasets.md"


@pytest.mark.parametrize("path", sorted(BUILT_IN_CATALOG.glob("*.toml")), ids=lambda path: path.stem)
def test_every_catalog_file_is_valid_and_says_where_it_comes_from(path):
    dataset = read_catalog_file(path)
    assert dataset.name.lower() == path.stem
    assert dataset.title and dataset.license and dataset.citation
    if dataset.archives_of:
        assert resolve_dataset(dataset.archives_of).files
    for file in dataset.files:
        assert file.urls or "--store-archives" in dataset.manual
        # Without a published checksum only an encrypted connection protects the bytes.
        assert file.checksum[1] or all(url.startswith("https://") for url in file.urls)
    assert f"`{dataset.name}`" in DATASETS.read_text()


MINE = 'name = "Mine"\nkind = "archives"\ntitle = "t"\nlicense = "l"\n[[files]]\nname = "a.zip"\nurls = ["https://x/a.zip"]\n'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("", "= =", "mine.toml"),
        ('title = "t"\n', "", "'title' is missing"),
        ('title = "t"\n', "title = 3\n", "title is 3; it must be of type str"),
        ('title = "t"\n', 'title = "t"\nurl = "u"\n', "unknown field url; the fields are .*members"),
        ('"archives"', '"folder"', "kind is 'folder'; it must be one of archives"),
        ('"Mine"', '"Other"', "name is 'Other'; it must be the file's name"),
        ('"a.zip"', '"../a.zip"', "a plain name"),
        ("https", "file", "http:// or https://"),
        ("x/a.zip", "x/a b.zip", "no spaces"),
        ("https://x", "ftp://me:secret@x", r"url 'ftp://\*\*\*@x/a.zip' of a.zip must start"),
        ("[[files]]", "[[files]]\nsha256 = 'xyz'", "hex digits"),
        ("[[files]]", "lossy = 'maybe'\n[[files]]", "by_format, yes, no"),
        ("[[files]]", "group = '(a)(b)'\n[[files]]", "one group"),
        ("[[files]]", "group = '('\n[[files]]", "mine.toml"),
        ("[[files]]", "archives_of = 'DIV2K'\n[[files]]", "either"),
        ("[[files]]", "path = 'nowhere'\n[[files]]", "There is nothing at .*nowhere"),
        ("[[files]]", "path = '~no-such-user'\n[[files]]", "mine.toml is invalid: .*home directory"),
        ("[[files]]", "note = 'mine'\n[[files]]", "unknown field note"),
        ("[[files]]", "[options]\nimages = 3\n[[files]]", "unknown option images; only the kind sample"),
        ('kind = "archives"', "path = '.'\nkind = 'zip'", "kind is 'zip'; .* folder, video"),
    ],
)
def test_a_mistake_in_a_catalog_file_is_named(old, new, words, tmp_path):
    (tmp_path / "mine.toml").write_text(MINE.replace(old, new, 1))
    with pytest.raises(UserError, match=words):
        resolve_dataset("Mine", tmp_path)


SAMPLE = 'name = "Mine"\nkind = "sample"\ntitle = "t"\nlicense = "l"\n[options]\n'


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            "images = 2\nheight_px = 64\nwidth_px = 64\nsize = 3",
            "unknown option size; the options are images, height_px",
        ),
        ("images = 2\nheight_px = 64", "option width_px must be given and be at least 1"),
        ("images = 0\nheight_px = 64\nwidth_px = 64", "option images must be given and be at least 1"),
        ("images = 2\nheight_px = 6.5\nwidth_px = 64", "option height_px is 6.5; it must be a whole number"),
        ("images = true\nheight_px = 64\nwidth_px = 64", "option images is True; it must be a whole number"),
        (
            "images = 2\nheight_px = 64\nwidth_px = 64\nseed = 'x'",
            "option seed is 'x'; it must be a whole number",
        ),
    ],
)
def test_a_mistake_in_the_options_is_named(options, words, tmp_path):
    (tmp_path / "mine.toml").write_text(SAMPLE + options)
    with pytest.raises(UserError, match=words):
        resolve_dataset("Mine", tmp_path)


def test_the_options_are_those_of_the_sample_source(tmp_path):
    assert set(SAMPLE_OPTIONS) == set(inspect.signature(SampleSource).parameters)
    (tmp_path / "mine.toml").write_text(SAMPLE + "images = 2\nheight_px = 64\nwidth_px = 48\nseed = -1")
    assert len(list(open_source(resolve_dataset("Mine", tmp_path)).scan())) == 2


def test_a_catalog_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "mine.toml").write_text("\ufeff" + MINE, encoding="utf-8")
    assert resolve_dataset("Mine", tmp_path).name == "Mine"
