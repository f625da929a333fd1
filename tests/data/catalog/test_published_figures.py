import pytest

from data.catalog.catalog import resolve
from data.catalog.published_figures import PUBLISHED, published, read_published
from data.errors import UserError


def test_every_row_says_where_it_was_printed_and_makes_sense():
    known = published()
    assert len({(row.model, row.scale) for row in known.rows}) == len(known.rows) >= 5
    for row in known.rows:
        assert row.source and row.scale in (2, 3, 4) and row.figures
        assert all(20 < psnr_db < 45 and 0.5 < ssim < 1 for psnr_db, ssim in row.figures.values())
        assert row.parameters is None or row.parameters > 1000


def test_benchmarks_are_those_of_the_catalog():
    for name, images in published().images.items():
        assert resolve(name).name == name and images > 0


def test_a_figure_of_the_papers_is_there_as_printed():
    (row,) = [row for row in published().rows if (row.model, row.scale) == ("VapSR", 4)]
    assert row.figures["Urban100"] == (26.35, 0.7941) and row.protocol == "protocol-a"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Set14 = { images = 14 }", "", "figures of known benchmarks, got Set14"),
        ("scale = 2", "scales = 2", "file of published figures"),
        ("[33.66, 0.9299]", "33.66", "file of published figures"),
        ("[[rows]]", "[[rows", "file of published figures"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, old, new, words):
    path = tmp_path / "published_figures.toml"
    text = PUBLISHED.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=f"{words}.*published_figures.toml"):
        read_published(path)
