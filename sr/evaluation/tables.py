"""What reports and comparisons share: the version of their records, and rows as CSV."""

import csv
import io
from typing import Any

SCHEMA = 1


def csv_of(rows: list[dict[str, Any]]) -> bytes:
    """Rows as CSV; a dict in a row becomes columns of its own (bicubic_psnr_db …)."""
    flat = []
    for row in rows:
        columns: dict[str, Any] = {}
        for key, value in row.items():
            inner = isinstance(value, dict)
            columns |= {f"{key}_{name}": one for name, one in value.items()} if inner else {key: value}
        flat.append(columns)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().encode()
