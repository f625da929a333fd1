import pytest

from data.catalog.published_figures import PUBLISHED, published, read_published_figures
from data.catalog.resolve import resolve_dataset
from data.errors import UserError


def test_every_row_names_its_source_and_is_plausible():
    known = published()
    assert len({(row.model, row.scale) for row in known.rows}) == len(known.rows) >= 5
    for row in known.rows:
        assert row.source and row.scale in (2, 3, 4) and row.figures
        assert all(20 < psnr_db < 45 and 0.5 < ssim < 1 for psnr_db, ssim in row.figures.values())
        assert row.parameters is None or row.parameters > 1000


def test_every_benchmark_is_in_the_catalog():
    for name, images in published().images.items():
        assert resolve_dataset(name).name == name and images > 0


def test_a_figure_is_as_the_paper_prints_it():
    (row,) = [row for row in published().rows if (row.model, row.scale) == ("VapSR", 4)]
    assert row.figures["Urban100"] == (26.35, 0.7941) and row.protocol == "protocol-a"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Set14 = { images = 14 }", "", "figures for unknown benchmarks: Set14"),
        ("scale = 2", "scales = 2", "The file of published figures .*published_figures.toml is invalid"),
        ("[33.66, 0.9299]", "33.66", "The file of published figures .*published_figures.toml is invalid"),
        ("[[rows]]", "[[rows", "The file of published figures .*published_figures.toml is invalid"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path, old, new, words):
    path = tmp_path / "published_figures.toml"
    text = PUBLISHED.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=words):
        read_published_figures(path)
