"""The page of one evaluation: report.html, which needs nothing beside it but the sheets that it links to.

It shows a finished report and the sheets in images/; it measures nothing, and holds nothing that a clock had a
part in.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from data.atomic_files import write_bytes
from sr.evaluation import panels
from sr.evaluation.side_by_side import sheet_name
from sr.html import formatting
from sr.html.pages import fill


def write_page(report: dict[str, Any], out_dir: Path) -> None:
    """Write report.html.

    Args:
        report: what report.json will hold.
        out_dir: has the sheets in images/.
    """
    rows = [
        row
        | {
            "gain_db": panels.gain_of(row),
            "link": quote(f"images/{sheet_name(row['name'])}", errors="surrogateescape"),
        }
        for row in report["per_image"]
    ]
    page = fill(
        "evaluation.html.j2",
        report=report,
        lpips="lpips" in report["mean"],
        means=_means(report),
        rows=rows,
        shown=panels.show(report["per_image"], out_dir / "images"),
    )
    write_bytes(out_dir / "report.html", page)


def _means(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The model's row and the baselines', as the table shows them."""
    bicubic_db = report["baselines"]["bicubic"]["psnr_db"]
    costless = dict.fromkeys(report["cost"])
    rows = [{"name": report["model"]["name"], **report["mean"], **report["cost"]}]
    for name, mean in report["baselines"].items():
        rows.append({"name": formatting.form_name(name), **mean, **costless})
    return [row | {"gain_db": row["psnr_db"] - bicubic_db} for row in rows]
