"""What comes out of a search: a table and a page, with the best candidates as lines of luigi.cfg."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from optuna.trial import FrozenTrial, TrialState

from data.atomic_files import write_bytes
from data.html.pages import render_template
from data.html.scatter import Dot, draw_scatter
from sr.evaluation.tables import to_csv
from sr.evaluation.timing import describe_host
from sr.html import labels
from sr.models.registry import build_network
from sr.search.space import Candidate, SearchSpace
from sr.search.study import CURVE, PROBLEM, REPEATS, SPEED, Study
from sr.search.trial import BICUBIC_DB, REFERENCE_MS

SCHEMA = 1
COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
_STATES = {TrialState.COMPLETE: COMPLETE, TrialState.PRUNED: PRUNED, TrialState.FAIL: FAILED}
Row = dict[str, Any]


def make_record(study: Study, space: SearchSpace, settings: dict[str, Any]) -> dict[str, Any]:
    """Make the content of search.json.

    Args:
        study: the study; no process is trying a candidate.
        space: what was searched.
        settings: how it was searched.

    Returns:
        schema, settings, space, candidates, timed, reference (preset and ms), bicubic_psnr_db, counts, rows (from the
        fastest to the slowest; those that were not timed last), front (the names of the best) and host.
    """
    bicubic_db = study.shared(BICUBIC_DB)
    rows = []
    for trial in study.tried().values():
        candidate = study.candidate_of(trial)
        if candidate is not None:
            rows.append(_make_row(candidate, trial, bicubic_db))
    rows.sort(key=lambda row: (row["ms"] is None, row["ms"], row["name"]))
    front = find_front(rows)
    for row in rows:
        row["front"] = row["name"] in front
    counts = {state: sum(row["state"] == state for row in rows) for state in (COMPLETE, PRUNED, FAILED)}
    return {
        "schema": SCHEMA,
        "settings": settings,
        "space": {"scale": space.scale, **{name: list(one) for name, one in space.dimensions().items()}},
        "candidates": space.size(),
        "timed": space.timed_planes,
        "reference": {"preset": space.reference, "ms": study.shared(REFERENCE_MS)},
        "bicubic_psnr_db": bicubic_db,
        "counts": {"tried": len(rows), **counts, "lost": study.lost()},
        "rows": rows,
        "front": front,
        "host": describe_host(),
    }


def find_front(rows: Sequence[Row]) -> list[str]:
    """Return the names of the rows that no other row beats in both PSNR and milliseconds, from the fastest on."""
    front, best_db = [], float("-inf")
    complete = [row for row in rows if row["state"] == COMPLETE]
    for row in sorted(complete, key=lambda row: (row["ms"], -row["psnr_db"])):
        if row["psnr_db"] > best_db:
            front.append(row["name"])
            best_db = row["psnr_db"]
    return front


def _make_row(candidate: Candidate, trial: FrozenTrial, bicubic_db: float | None) -> Row:
    attributes = trial.user_attrs
    psnr_db = trial.values[0] if trial.state == TrialState.COMPLETE else None
    curve = attributes.get(CURVE, [])
    speed = attributes.get(SPEED, {})
    core = build_network(candidate.describe()).core
    return {
        "name": candidate.name,
        "preset": candidate.preset,
        "layers": candidate.layers,
        "channels": candidate.channels,
        "planes": candidate.planes,
        "unshuffle": candidate.unshuffle,
        "activation": candidate.activation,
        "reparameterize": candidate.reparameterize,
        "parameters": sum(weight.numel() for weight in core.parameters()),
        "state": _STATES[trial.state],
        "psnr_db": psnr_db,
        "gain_db": None if psnr_db is None or bicubic_db is None else round(psnr_db - bicubic_db, 6),
        "ms": speed.get("ms"),
        "ratio": speed.get("ratio"),
        "measured_ms": speed.get("measured_ms"),
        "last_step": curve[-1][0] if curve else 0,
        "last_psnr_db": curve[-1][1] if curve else None,
        "trial": trial.number,
        "repeats": attributes.get(REPEATS),
        "problem": attributes.get(PROBLEM, ""),
    }


def write_files(record: dict[str, Any], directory: Path) -> None:
    """Write search.csv, front.cfg and search.html.

    Args:
        record: what search.json will hold.
        directory: of the search.
    """
    write_bytes(directory / "search.csv", to_csv(record["rows"]))
    write_bytes(directory / "front.cfg", front_config(record).encode())
    front = [row | {"config": config_of(row)} for row in record["rows"] if row["front"]]
    page = render_template(
        labels.TEMPLATES / "search.html.j2", record=record, front=front, chart=_draw_chart(record)
    )
    write_bytes(directory / "search.html", page)


def config_of(row: Row) -> str:
    """Return the lines of luigi.cfg that choose the network of a row."""
    return f"[model]\npreset = {row['preset']}\nreparameterize = {row['reparameterize']}\n"


def front_config(record: dict[str, Any]) -> str:
    """Return a configuration file with the best candidates, each in comments to paste."""
    parts = ["# The best networks of a search, from the fastest on. Uncomment one; see search.html.\n"]
    rows = {row["name"]: row for row in record["rows"]}
    for name in record["front"]:
        row = rows[name]
        lines = [f"{row['psnr_db']:.3f} dB after {row['last_step']} steps, {row['ms']:.3g} ms"]
        lines += config_of(row).splitlines()
        parts.append("".join(f"# {line}\n" for line in lines))
    return "\n".join(parts)


def format_lines(record: dict[str, Any]) -> list[str]:
    """Return a line for each of the best candidates, for a terminal."""
    rows = {row["name"]: row for row in record["rows"]}
    return [
        f"{name}: {row['psnr_db']:.3f} dB ({row['gain_db']:+.3f} over bicubic), {row['ms']:.3g} ms in int8, "
        f"{row['parameters']:,} parameters"
        for name in record["front"]
        for row in [rows[name]]
    ]


def _draw_chart(record: dict[str, Any]) -> Markup:
    """Draw PSNR over milliseconds of the candidates that were trained to the end."""
    complete = [row for row in record["rows"] if row["state"] == COMPLETE]
    if not complete:
        return Markup("")
    dots = [Dot(row["name"], row["ms"], row["psnr_db"], row["front"]) for row in complete]
    return draw_scatter(
        dots,
        title="Validation PSNR by milliseconds of int8 inference",
        x_label="milliseconds a frame, int8",
        y_label="validation PSNR, dB",
    )
