"""What comes out of a search. tests/faults/kill_search.py trains and times networks."""

import csv
import itertools
import re

import pytest
import search_worker

from data.errors import UserError
from sr.models.presets import find_preset
from sr.search.int8_speed import SpeedMeter
from sr.search.loop import work_through
from sr.search.page import COMPLETE, FAILED, PRUNED, find_front, front_config, make_record, write_files
from sr.search.study import CURVE, SPEED
from sr.search.trial import BICUBIC_DB


def test_the_page_shows_what_became_of_each_candidate(tmp_path):
    study, number = search_worker.open_study(tmp_path), itertools.count()

    def attempt(turn, report):
        psnr_db, ms = search_worker.results(turn)
        study.share(BICUBIC_DB, 30.0)
        turn.note(SPEED, {"ms": ms, "ratio": ms / 4, "measured_ms": ms})
        turn.note(CURVE, [[5, 30.5]])
        match next(number):
            case 1:
                study.fail(turn, "The loss is <not> finite")
                raise UserError("The loss is <not> finite")
            case 2:
                study.prune(turn)
            case _:
                study.complete(turn, psnr_db, ms)

    work_through(study, 6, attempt)
    settings = {"steps": 10, "validations": 2, "prune_db": 0.1, "width_px": 96, "height_px": 64, "seed": 5}
    record = make_record(study, search_worker.SPACE, settings)
    assert record["counts"] == {"tried": 6, "complete": 4, "pruned": 1, "failed": 1, "lost": 0}
    states = {row["state"]: row for row in record["rows"]}
    assert states[PRUNED]["psnr_db"] is None and states[PRUNED]["last_psnr_db"] == 30.5
    assert [row["ms"] for row in record["rows"]] == sorted(row["ms"] for row in record["rows"])
    best = next(row for row in record["rows"] if row["name"] == record["front"][-1])
    assert best["gain_db"] == pytest.approx(best["psnr_db"] - 30.0, abs=1e-6)
    write_files(record, tmp_path)
    page = (tmp_path / "search.html").read_text()
    assert "The loss is &lt;not&gt; finite" in page and "pruned at 30.500 dB" in page
    assert page.count('class="curve-dot"') == len(record["front"]) == page.count("<pre>[model]")
    table = list(csv.DictReader((tmp_path / "search.csv").open()))
    assert [row["name"] for row in table] == [row["name"] for row in record["rows"]]


def test_a_frame_that_is_no_multiple_of_a_cell_is_refused_before_anything_is_quantized():
    meter = SpeedMeter("realtime-x2", "luma", (34, 32), 0.01)
    meter.__dict__["_run_reference"] = None
    with pytest.raises(UserError, match=r"size is 32x34, but candidates take multiples of 4"):
        meter.measure(find_preset("realtime-3x8-u4-x2"), float)


def rows_of(*figures: tuple[str, float, float]) -> list[dict]:
    return [
        {
            "name": name,
            "preset": name,
            "reparameterize": "on",
            "psnr_db": psnr_db,
            "ms": ms,
            "state": COMPLETE,
            "last_step": 10,
        }
        for name, psnr_db, ms in figures
    ]


def test_the_front_has_what_no_other_beats_in_both():
    rows = rows_of(("slow", 31.0, 9.0), ("best", 32.0, 5.0), ("fast", 30.0, 1.0), ("same", 30.0, 1.5))
    failed = {"name": "failed", "state": FAILED, "psnr_db": None, "ms": 0.1}
    assert find_front([*rows, failed]) == ["fast", "best"]
    assert find_front([]) == []


def test_the_front_is_written_as_lines_to_paste():
    rows = rows_of(("realtime-x2", 32.0, 5.0), ("realtime-3x8-x2", 30.0, 1.0))
    text = front_config({"rows": rows, "front": ["realtime-3x8-x2", "realtime-x2"]})
    assert re.findall(r"^# preset = (\S+)$", text, re.MULTILINE) == ["realtime-3x8-x2", "realtime-x2"]
    assert all(line.startswith("#") for line in text.splitlines() if line)
