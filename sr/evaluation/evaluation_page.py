"""The page of one evaluation, report.html: it needs no other file except the sheets that it links to.

It shows a finished report and the panels in the evaluation's directory. It measures nothing, and shows no durations, so
that equal evaluations have equal pages.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from data.atomic_files import write_bytes
from data.html.pages import render_template
from sr.evaluation.panels import SHEETS, embed_panels, gain_over_bicubic, sheet_name
from sr.html import labels


def write_page(report: dict[str, Any], out_dir: Path) -> None:
    """Write report.html.

    Args:
        report: what report.json will hold.
        out_dir: has the sheets and the panels of the images.
    """
    rows = [
        row
        | {
            "gain_db": gain_over_bicubic(row),
            "link": quote(f"{SHEETS}/{sheet_name(row['name'])}", errors="surrogateescape"),
        }
        for row in report["per_image"]
    ]
    page = render_template(
        labels.TEMPLATES / "evaluation.html.j2",
        labels=labels,
        report=report,
        lpips="lpips" in report["mean"],
        means=_make_mean_rows(report),
        rows=rows,
        shown=embed_panels(report["per_image"], out_dir),
    )
    write_bytes(out_dir / "report.html", page)


def _make_mean_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the rows of the table of means: the model, then the baselines."""
    bicubic_db = report["baselines"]["bicubic"]["psnr_db"]
    no_cost = dict.fromkeys(report["cost"])
    rows = [{"name": report["model"]["name"], **report["mean"], **report["cost"]}]
    for name, mean in report["baselines"].items():
        rows.append({"name": labels.model_label(name), **mean, **no_cost})
    return [row | {"gain_db": row["psnr_db"] - bicubic_db} for row in rows]
