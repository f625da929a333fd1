"""The comparison: a row for each model and protocol, published rows beside them, and a page without other files."""

import csv
import json

import pytest
from images import textured

from data.atomic_files import write_json
from data.catalog.published_figures import PublishedFigures, PublishedRow
from data.errors import UserError
from sr.evaluation.compare import Evaluation, format_lines, write_comparison
from sr.evaluation.evaluate import evaluate
from sr.evaluation.image_pair import build_baseline
from sr.evaluation.protocols import build_protocol
from sr.runtime.load import load_upscaler

PUBLISHED = PublishedFigures(
    {"Set5": 5, "Set14": 14},
    (
        PublishedRow(
            "Bicubic", 2, "classic", "A & B <1999>", {"Set5": (33.66, 0.93), "Set14": (30.24, 0.87)}
        ),
        PublishedRow("Net", 2, "protocol-a", "C", {"Urban100": (31.0, 0.9)}, parameters=9),
        PublishedRow("Net4", 4, "protocol-a", "C", {"Set5": (32.0, 0.9)}, parameters=9),
    ),
)


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory, realtime_dir):
    """Evaluate a network and a filter on two small benchmark datasets."""
    root, protocol = tmp_path_factory.mktemp("evaluations"), build_protocol("protocol-a", 2)
    made = []
    for number, benchmark in enumerate(("Set5-x2", "mine")):
        images = [(str(one), textured(10 * number + one, 48, 64)) for one in range(2)]
        for name, upscaler in (
            ("net", load_upscaler(realtime_dir)),
            ("bicubic", build_baseline("bicubic", protocol)),
        ):
            directory = root / f"{name}-{benchmark}"
            evaluate(upscaler, images, protocol, directory)
            made.append(Evaluation(name, benchmark, directory))
    return made


def test_rows_have_the_figures_of_the_reports_beside_published_ones(evaluations, tmp_path):
    comparison = write_comparison(evaluations, PUBLISHED, tmp_path)
    assert comparison == json.loads((tmp_path / "comparison.json").read_text())
    assert comparison["benchmarks"] == ["Set5", "mine"]
    kinds = [(row["model"], row["kind"]) for row in comparison["rows"]]
    # Bicubic is among the models, so only Lanczos is added; one published row has the scale and a benchmark.
    assert kinds == [
        ("net", "measured"),
        ("bicubic", "measured"),
        ("Lanczos", "baseline"),
        ("Bicubic", "published"),
    ]
    net, _, lanczos, published = comparison["rows"]
    report = json.loads((evaluations[0].directory / "report.json").read_text())
    assert (
        net["figures"]["Set5"] == report["mean"]
        and lanczos["figures"]["Set5"] == report["baselines"]["lanczos"]
    )
    assert net["parameters"] > 0 and net["gmacs_720p"] > 0 and net["protocol"] == "protocol-a-x2"
    assert (
        published["figures"] == {"Set5": {"psnr_db": 33.66, "ssim": 0.93}}
        and published["source"] == "A & B <1999>"
    )
    assert published["protocol"] == "classic-x2"
    assert comparison["timings"]["net"]["mine"]["rounds"] == 2
    lines = format_lines(comparison)
    assert lines[3] == "Bicubic x2 (published, classic-x2): Set5 33.66/0.9300" and "mine" in lines[0]


def test_page_and_csv_hold_all_rows(evaluations, tmp_path):
    comparison = write_comparison(evaluations, PUBLISHED, tmp_path)
    page = (tmp_path / "comparison.html").read_text()
    assert "://" not in page and "src=" not in page and page.count("<script>") == 1
    assert "A &amp; B &lt;1999&gt;" in page
    assert page.count("<tr class=") == len(comparison["rows"])
    for row in comparison["rows"]:
        for figures in row["figures"].values():
            assert f'data-value="{figures["psnr_db"]}"' in page
    rows = list(csv.DictReader((tmp_path / "comparison.csv").open()))
    assert float(rows[0]["mine_psnr_db"]) == comparison["rows"][0]["figures"]["mine"]["psnr_db"]
    assert rows[3]["mine_psnr_db"] == "" and rows[3]["Set5_ssim"] == "0.93"


def test_lpips_has_a_column_if_a_report_has_it(evaluations, tmp_path):
    report = json.loads((evaluations[0].directory / "report.json").read_text())
    report["mean"]["lpips"] = 0.0625
    write_json(tmp_path / "with" / "report.json", report)
    mixed = [Evaluation("with", "Set5", tmp_path / "with"), evaluations[1]]
    for given, count in ((mixed, 1), (evaluations, 0)):
        write_comparison(given, PUBLISHED, tmp_path / str(count))
        page = (tmp_path / str(count) / "comparison.html").read_text()
        assert page.count("Set5 LPIPS") == page.count('data-value="0.0625"') == count
        rows = list(csv.DictReader((tmp_path / str(count) / "comparison.csv").open()))
        assert [row.get("Set5_lpips") for row in rows[:2]] == (["0.0625", ""] if count else [None, None])


def test_another_protocol_is_another_row(evaluations, tmp_path):
    protocol = build_protocol("protocol-a", 2, border_px=4)
    evaluate(
        build_baseline("lanczos", protocol), [("one", textured(1, 48, 48))], protocol, tmp_path / "other"
    )
    mixed = [evaluations[1], Evaluation("bicubic", "mine", tmp_path / "other")]
    rows = write_comparison(mixed, PUBLISHED, tmp_path / "out")["rows"]
    measured = [row for row in rows if row["kind"] == "measured"]
    assert len(measured) == 2 and len({row["protocol"] for row in measured}) == 2
    assert [list(row["figures"]) for row in measured] == [["Set5"], ["mine"]]


def test_benchmarks_that_differ_only_in_scale_keep_their_names(evaluations, tmp_path):
    both = [evaluations[0], Evaluation("net", "Set5-x4", evaluations[2].directory)]
    comparison = write_comparison(both, PUBLISHED, tmp_path)
    assert comparison["benchmarks"] == ["Set5-x2", "Set5-x4"]
    measured, published = comparison["rows"][0], comparison["rows"][-1]
    assert set(measured["figures"]) == set(published["figures"]) == {"Set5-x2", "Set5-x4"}


def test_rgb_figures_have_no_published_rows(tmp_path):
    protocol = build_protocol("protocol-a", 2, channel="rgb")
    evaluate(build_baseline("bicubic", protocol), [("one", textured(1, 48, 48))], protocol, tmp_path / "rgb")
    rows = write_comparison([Evaluation("bicubic", "Set5", tmp_path / "rgb")], PUBLISHED, tmp_path / "out")[
        "rows"
    ]
    assert {row["kind"] for row in rows} == {"measured", "baseline"}


def test_a_report_of_another_version_raises(tmp_path):
    write_json(tmp_path / "report.json", {"schema": 9})
    with pytest.raises(UserError, match=r"report.json has version 9, .* reads version 2"):
        write_comparison([Evaluation("net", "Set5", tmp_path)], PUBLISHED, tmp_path / "out")
