import pytest

from data.catalog.resolve import dataset_names, resolve_dataset
from data.errors import UserError

MINE = 'name = "Mine"\nkind = "archives"\ntitle = "t"\nlicense = "l"\n[[files]]\nname = "a.zip"\nurls = ["https://x/a.zip"]\n'


def test_the_usual_datasets_are_in_the_catalog():
    lr_images = {f"DIV2K_{part}_LR_bicubic_X{scale}" for part in ("train", "valid") for scale in "234"}
    tests = {"Set5", "Set14", "BSD100", "Urban100", "Kodak"}
    assert {
        "DIV2K",
        "DIV2K_valid",
        "Flickr2K",
        "ImageNet",
        "ImageNet_val",
        "ImageNet_fall11",
        "DIV8K",
        "FFHQ",
        "LSDIR",
        "Manga109",
        "OSTv2",
        "REDS",
        "Unsplash2K",
        "Vimeo90K",
    } | lr_images | tests <= set(dataset_names())


def test_names_do_not_depend_on_case():
    assert resolve_dataset("div2k") == resolve_dataset("DIV2K")
    assert {"DIV2K", "Photos", "Sample", "Set5"} <= set(dataset_names())


def test_a_disc_is_a_drive_with_an_optional_title():
    named, unnamed = resolve_dataset("disc:1:The Video"), resolve_dataset("disc:0")
    assert (named.kind, named.name, named.path) == ("disc", "The-Video", "1")
    assert (unnamed.kind, unnamed.name, unnamed.path) == ("disc", "disc0", "0")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("DIV2KK", r"There is no dataset 'DIV2KK' .*Did you mean DIV2K\?"),
        ("nowhere/at/all", "no folder, archive or video at /.*/nowhere/at/all"),
        ("video.xyz", "no folder, archive or video at /.*/video.xyz"),
    ],
)
def test_a_missing_dataset_is_refused_with_a_hint(given, message):
    with pytest.raises(UserError, match=message):
        resolve_dataset(given)


def test_an_own_catalog_adds_datasets_and_replaces_built_in_ones(tmp_path, photo_folder):
    catalog = tmp_path / "catalog"
    catalog.mkdir()
    (catalog / "Holiday.toml").write_text(
        f'name = "Holiday"\ntitle = "Mine"\nlicense = "mine"\npath = "../{photo_folder.name}"\ngroup = "folder"\n'
    )
    (catalog / "div2k.toml").write_text(MINE.replace("Mine", "DIV2K"))
    mine = resolve_dataset("holiday", catalog)
    assert (mine.name, mine.kind, mine.path, mine.group) == ("Holiday", "folder", str(photo_folder), "folder")
    assert (
        resolve_dataset("DIV2K", catalog).files[0].name == "a.zip" != resolve_dataset("DIV2K").files[0].name
    )
    assert {"Holiday", "DIV2K", "Sample"} <= set(dataset_names(catalog))
    with pytest.raises(UserError, match=r"\[store\] catalog"):
        resolve_dataset("DIV2K", tmp_path / "nowhere")
