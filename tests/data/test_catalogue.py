import pytest

from data.catalogue import CATALOG, names, read_catalogue_file, resolve
from data.errors import UserError


@pytest.mark.parametrize("path", sorted(CATALOG.glob("*.toml")), ids=lambda path: path.stem)
def test_every_catalogue_file_reads_and_says_where_it_comes_from(path):
    dataset = read_catalogue_file(path)
    assert dataset.name.lower() == path.stem
    assert dataset.title and dataset.licence and dataset.citation
    if dataset.kind == "archives" and not dataset.archives_of:
        assert all(file.urls and (file.sha256 or file.md5) for file in dataset.files)
    if dataset.archives_of:
        assert resolve(dataset.archives_of).files


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
    assert dataset.path.endswith("HR") and dataset.low_path.endswith("LR")


def test_films_and_folders_of_films_and_discs(photo_folder, tmp_path):
    (tmp_path / "A film (2026).MKV").write_bytes(b"")
    film = resolve(str(tmp_path / "A film (2026).MKV"))
    assert (film.kind, film.name) == ("film", "A-film-2026")
    rips = tmp_path / "rips"
    rips.mkdir()
    (rips / "cover.jpg").write_bytes(bytes(10))
    (rips / "film.mkv").write_bytes(bytes(11))
    assert resolve(str(rips)).kind == "film"
    (photo_folder / "clip.mp4").write_bytes(bytes(1000))
    assert resolve(str(photo_folder)).kind == "folder", "the pictures outweigh it"
    named, unnamed = resolve("disc:1:The Film"), resolve("disc:0")
    assert (named.kind, named.name, named.path) == ("disc", "The-Film", "1")
    assert (unnamed.kind, unnamed.name, unnamed.path) == ("disc", "disc0", "0")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("DIV2KK", "write DIV2K if"),
        ("nowhere/at/all", "nothing there"),
        ("film.xyz", "nothing there"),
    ],
)
def test_what_is_not_there_is_refused_in_words(given, message):
    with pytest.raises(UserError, match=message):
        resolve(given)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"")
    with pytest.raises(UserError, match=r"\.pdf"):
        resolve(str(tmp_path / "a.pdf"))


def test_a_bad_catalogue_file_is_named(tmp_path):
    (tmp_path / "x.toml").write_text('name = "x"\nkind = "folder"\ntitle = "t"\nlicence = "l"\nurl = "u"\n')
    with pytest.raises(UserError, match="url.*x.toml"):
        read_catalogue_file(tmp_path / "x.toml")
