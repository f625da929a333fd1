"""What evaluations and comparisons share: the version of their records, and rows as CSV."""

import csv
import io
from typing import Any

SCHEMA = 2


def to_csv(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as CSV, UTF-8; a dict in a row becomes columns of its own (bicubic_psnr_db …).

    Args:
        rows: at least one; all have the same keys.
    """
    flat = []
    for row in rows:
        columns: dict[str, Any] = {}
        for key, value in row.items():
            if isinstance(value, dict):
                columns |= {f"{key}_{name}": inner for name, inner in value.items()}
            else:
                columns[key] = value
        flat.append(columns)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().encode()
