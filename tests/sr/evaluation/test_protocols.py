"""Protocols have the settings of their names, and reproduce published figures."""

import numpy as np
import pytest

from data.benchmark_dataset import BenchmarkDataset
from data.catalog.resolve import resolve_dataset
from data.errors import UserError
from data.records import SourceEntry
from data.sources import open_source
from sr.evaluation.evaluate import evaluate
from sr.evaluation.image_pair import build_baseline
from sr.evaluation.protocols import PROTOCOLS, build_protocol, crop_multiple, describe_settings
from sr.runtime.load import load_upscaler


def test_reports_name_every_protocol():
    names = {name: describe_settings(build_protocol(name, 2), lr_provided=False) for name in PROTOCOLS}
    assert names == {
        "pillow": "y-x2-border2-pillow-bicubic",
        "classic": "classic-x2",
        "rgb-network": "rgb-network-x2",
        "protocol-a": "protocol-a-x2",
    }
    assert describe_settings(build_protocol("pillow", 4), lr_provided=True) == "y-x4-border4-provided"


def test_a_replaced_setting_removes_the_name():
    same = build_protocol("protocol-a", 3, channel="y", border_px=3, degradation="matlab-bicubic")
    assert same == build_protocol("protocol-a", 3)
    other = build_protocol("protocol-a", 3, "Set5", channel="rgb", border_px=5)
    assert (other.name, other.channel, other.border_px, other.modcrop) == ("", "rgb", 5, 12)
    assert (
        describe_settings(other, lr_provided=False)
        == "rgb-x3-border5-matlab-bicubic-modcrop12-matlab-filters"
    )


def test_a_given_degradation_is_used_even_if_the_benchmark_provides_lr_images():
    assert build_protocol("pillow", 2).use_provided_lr
    assert not build_protocol("pillow", 2, degradation="catid-gaussian").use_provided_lr
    assert build_protocol("protocol-a", 2, degradation="provided").use_provided_lr


def test_set5_has_its_own_modcrop_in_protocol_a_under_any_of_its_names():
    assert [
        crop_multiple(build_protocol("protocol-a", 4, name)) for name in ("Set5", "Set5-x4", "Set14", "")
    ] == [
        12,
        12,
        4,
        4,
    ]
    assert crop_multiple(build_protocol("protocol-a", 3, "Set14")) == 12
    assert crop_multiple(build_protocol("classic", 3, "Set5")) == 3


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("papers", {}, "Unknown protocol 'papers'. Use one of pillow, classic, rgb-network, protocol-a"),
        ("pillow", {"scale": 1}, "scale must be from 2 to 8, not 1"),
        ("pillow", {"scale": 9}, "scale must be from 2 to 8, not 9"),
        ("pillow", {"channel": "yuv"}, "unknown channel, 'yuv'. Use one of rgb, y"),
        ("pillow", {"degradation": "bicubic"}, "unknown degradation, 'bicubic'. Use one of pillow-bicubic, "),
        ("classic", {"channel": "rgb"}, "rounding 'classic' needs the channel y, not 'rgb'"),
        ("pillow", {"rounding": "none"}, "unknown rounding, 'none'. Use one of output, luma, classic"),
        ("pillow", {"modcrop": -4}, "at least 1 px, not -4"),
        ("pillow", {"rounding": "classic"}, "unrounded luma .* cannot be combined with pillow-bicubic"),
        (
            "classic",
            {"degradation": "pillow-bicubic"},
            "unrounded luma .* cannot be combined with pillow-bicubic",
        ),
    ],
)
def test_unknown_and_conflicting_settings_raise(name, settings, message):
    with pytest.raises(UserError, match=message):
        build_protocol(name, **{"scale": 2, **settings})


def _benchmark(root):
    dataset = resolve_dataset(str(root))
    source = open_source(dataset)
    return BenchmarkDataset(dataset, source, [one for one in source.scan() if isinstance(one, SourceEntry)])


@pytest.mark.parametrize(
    ("name", "tolerance_db", "figures"),
    [
        ("classic", 0.01, {("Set5", 2): 33.66, ("Set14", 2): 30.24, ("Set5", 4): 28.42, ("Set14", 4): 26.00}),
        (
            "rgb-network",
            0.002,
            {("Set5", 2): 33.674, ("Set14", 2): 30.326, ("Set5", 4): 28.430, ("Set14", 4): 26.091},
        ),
    ],
)
def test_published_psnr_of_bicubic(shared, tmp_path, name, tolerance_db, figures):
    for (benchmark, scale), published_db in figures.items():
        protocol = build_protocol(name, scale, benchmark)
        images = _benchmark(shared / "images" / benchmark / f"x{scale}")
        report = evaluate(
            build_baseline("bicubic", protocol), images, protocol, tmp_path / f"{benchmark}{scale}"
        )
        assert report["protocol"]["name"] == f"{name}-x{scale}"
        assert report["mean"]["psnr_db"] == pytest.approx(published_db, abs=tolerance_db), (benchmark, scale)
        assert report["mean"] == report["baselines"]["bicubic"]


def test_published_ssim_of_bicubic(shared, tmp_path):
    for benchmark, ssim in (("Set5", 0.9299), ("Set14", 0.8688)):
        protocol = build_protocol("classic", 2, benchmark)
        images = _benchmark(shared / "images" / benchmark / "x2")
        report = evaluate(build_baseline("bicubic", protocol), images, protocol, tmp_path / benchmark)
        assert report["mean"]["ssim"] == pytest.approx(ssim, abs=0.0002)


@pytest.mark.slow
def test_the_published_vapsr_reproduces_its_figures_on_set5(shared, tmp_path):
    protocol = build_protocol("rgb-network", 2, "Set5")
    upscaler = load_upscaler(shared / "weights" / "vapsr3x3_x2.pth")
    report = evaluate(upscaler, _benchmark(shared / "images" / "Set5" / "x2"), protocol, tmp_path)
    assert report["mean"]["psnr_db"] == pytest.approx(38.10, abs=0.01)
    assert report["mean"]["ssim"] == pytest.approx(0.9608, abs=0.0005)
    assert report["protocol"]["degradation"] == "provided"


def test_lr_images_that_are_not_provided_are_made_like_them(shared, tmp_path):
    root = shared / "images" / "Set5" / "x4"
    protocol = build_protocol("rgb-network", 4)
    provided, made = (
        evaluate(build_baseline("bicubic", protocol), _benchmark(path), protocol, tmp_path / path.name)
        for path in (root, root / "HR")
    )
    assert (provided["protocol"]["degradation"], made["protocol"]["degradation"]) == (
        "provided",
        "selfexsr-bicubic",
    )
    assert provided["per_image"] == made["per_image"]


def test_rounding_luma_is_another_protocol(tmp_path):
    hr_image = np.random.default_rng(1).integers(0, 256, (48, 48, 3), np.uint8)
    plain = build_protocol("pillow", 2)
    rounded = build_protocol("pillow", 2, rounding="luma")
    reports = [
        evaluate(load_upscaler("bicubic"), [("noise", hr_image)], one, tmp_path / one.rounding)
        for one in (plain, rounded)
    ]
    assert reports[0]["mean"]["psnr_db"] != reports[1]["mean"]["psnr_db"]
    assert reports[1]["protocol"]["name"] == "y-x2-border2-pillow-bicubic-rounding-luma"
