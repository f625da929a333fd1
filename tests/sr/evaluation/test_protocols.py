"""Protocols mean what their names say, and give the figures that the papers print."""

import numpy as np
import pytest

from data.benchmark_dataset import Benchmark
from data.catalog.catalog import resolve
from data.errors import UserError
from data.records import SourceEntry
from data.sources import open_source
from sr.evaluation.evaluate import evaluate
from sr.evaluation.image_pair import formula
from sr.evaluation.protocols import PROTOCOLS, build, cut_px, title
from sr.runtime.upscalers import load_upscaler


def test_every_protocol_is_named_in_its_reports():
    names = {name: title(build(name, 2), supplied=False) for name in PROTOCOLS}
    assert names == {
        "pillow": "y-x2-border2-pillow-bicubic",
        "classic": "classic-x2",
        "rgb-network": "rgb-network-x2",
        "protocol-a": "protocol-a-x2",
    }
    assert title(build("pillow", 4), supplied=True) == "y-x4-border4-supplied"


def test_what_is_replaced_takes_the_name_away():
    same = build("protocol-a", 3, channel="y", border_px=3, degradation="matlab-bicubic")
    assert same == build("protocol-a", 3)
    other = build("protocol-a", 3, "Set5", channel="rgb", border_px=5)
    assert (other.name, other.channel, other.border_px, other.modcrop) == ("", "rgb", 5, 12)
    assert title(other, supplied=False) == "rgb-x3-border5-matlab-bicubic-cut12-matlab-filters"


def test_a_recipe_that_is_named_is_used_whatever_the_benchmark_brings():
    assert build("pillow", 2).use_supplied
    assert not build("pillow", 2, degradation="forebear-gaussian").use_supplied
    assert build("protocol-a", 2, degradation="supplied").use_supplied


def test_set5_is_cut_otherwise_in_protocol_a_by_any_of_its_names():
    assert [cut_px(build("protocol-a", 4, name)) for name in ("Set5", "Set5-x4", "Set14", "")] == [
        12,
        12,
        4,
        4,
    ]
    assert cut_px(build("protocol-a", 3, "Set14")) == 12
    assert cut_px(build("classic", 3, "Set5")) == 3


@pytest.mark.parametrize(
    ("name", "terms", "words"),
    [
        ("papers", {}, "pillow, classic, rgb-network, protocol-a, got 'papers' in --protocol"),
        ("pillow", {"scale": 1}, "scale from 2 to 8, got 1"),
        ("pillow", {"scale": 9}, "scale from 2 to 8, got 9"),
        ("pillow", {"channel": "yuv"}, "rgb, y for the channel, got 'yuv'"),
        ("pillow", {"degradation": "bicubic"}, "pillow-bicubic, .*got 'bicubic'"),
        ("classic", {"channel": "rgb"}, "channel y .the rounding is 'classic'., got 'rgb'"),
        ("pillow", {"rounding": "none"}, "output, luma, classic for the rounding, got 'none'"),
        ("pillow", {"modcrop": -4}, "1 px or more, got -4"),
        ("pillow", {"rounding": "classic"}, "unrounded luma, got pillow-bicubic"),
        ("classic", {"degradation": "pillow-bicubic"}, "unrounded luma, got pillow-bicubic"),
    ],
)
def test_terms_that_exclude_each_other_are_refused(name, terms, words):
    with pytest.raises(UserError, match=words):
        build(name, **{"scale": 2, **terms})


def _benchmark(root):
    dataset = resolve(str(root))
    source = open_source(dataset)
    return Benchmark(dataset, source, [one for one in source.scan() if isinstance(one, SourceEntry)])


@pytest.mark.parametrize(
    ("protocol", "tolerance_db", "figures"),
    [
        ("classic", 0.01, {("Set5", 2): 33.66, ("Set14", 2): 30.24, ("Set5", 4): 28.42, ("Set14", 4): 26.00}),
        (
            "rgb-network",
            0.002,
            {("Set5", 2): 33.674, ("Set14", 2): 30.326, ("Set5", 4): 28.430, ("Set14", 4): 26.091},
        ),
    ],
)
def test_the_published_bicubic_figures(shared, tmp_path, protocol, tolerance_db, figures):
    for (benchmark, scale), published_db in figures.items():
        terms = build(protocol, scale, benchmark)
        images = _benchmark(shared / "images" / benchmark / f"x{scale}")
        report = evaluate(formula("bicubic", terms), images, terms, tmp_path / f"{benchmark}{scale}")
        assert report["protocol"]["name"] == f"{protocol}-x{scale}"
        assert report["mean"]["psnr_db"] == pytest.approx(published_db, abs=tolerance_db), (benchmark, scale)
        assert report["mean"] == report["baselines"]["bicubic"]


def test_published_ssim_of_bicubic(shared, tmp_path):
    for benchmark, ssim in (("Set5", 0.9299), ("Set14", 0.8688)):
        terms = build("classic", 2, benchmark)
        images = _benchmark(shared / "images" / benchmark / "x2")
        report = evaluate(formula("bicubic", terms), images, terms, tmp_path / benchmark)
        assert report["mean"]["ssim"] == pytest.approx(ssim, abs=0.0002)


@pytest.mark.slow
def test_the_forebears_network_gives_its_figure_on_set5(shared, tmp_path):
    terms = build("rgb-network", 2, "Set5")
    upscaler = load_upscaler(shared / "weights" / "vapsr3x3_x2.pth")
    report = evaluate(upscaler, _benchmark(shared / "images" / "Set5" / "x2"), terms, tmp_path)
    assert report["mean"]["psnr_db"] == pytest.approx(38.10, abs=0.01)
    assert report["mean"]["ssim"] == pytest.approx(0.9608, abs=0.0005)
    assert report["protocol"]["degradation"] == "supplied"


def test_low_files_that_are_not_supplied_are_made_like_them(shared, tmp_path):
    root = shared / "images" / "Set5" / "x4"
    terms = build("rgb-network", 4)
    brought, made = (
        evaluate(formula("bicubic", terms), _benchmark(path), terms, tmp_path / path.name)
        for path in (root, root / "HR")
    )
    assert (brought["protocol"]["degradation"], made["protocol"]["degradation"]) == (
        "supplied",
        "selfexsr-bicubic",
    )
    assert brought["per_image"] == made["per_image"]


def test_rounding_luma_is_a_protocol_of_its_own(tmp_path):
    hr_image = np.random.default_rng(1).integers(0, 256, (48, 48, 3), np.uint8)
    plain = build("pillow", 2)
    rounded = build("pillow", 2, rounding="luma")
    reports = [
        evaluate(load_upscaler("bicubic"), [("noise", hr_image)], one, tmp_path / one.rounding)
        for one in (plain, rounded)
    ]
    assert reports[0]["mean"]["psnr_db"] != reports[1]["mean"]["psnr_db"]
    assert reports[1]["protocol"]["name"] == "y-x2-border2-pillow-bicubic-rounding-luma"
