"""The check for GPU machines runs on the CPU, without DeepSpeed and PyAV, as on a machine that lacks them."""

import json
import os
import subprocess
import sys

import numpy as np
from commands import REPOSITORY
from images import textured
from PIL import Image

ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/tests/support"}
"""On tiny images threads wait for each other longer than they work."""
WITHOUT = """
import runpy, sys
sys.modules |= {"deepspeed": None, "av": None}
sys.argv = ["check.py", *sys.argv[1:]]
runpy.run_path("tests/gpu/check.py", run_name="__main__")
"""


def test_the_check_measures_trains_and_writes_its_table(tmp_path):
    folder, out = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.asarray(textured(number, 64, 64))).save(folder / f"{number}.png")
    sizes = ["--crop-px", "32", "--patch-px", "16", "--batch-size", "2"]
    times = ["--seconds", "0.01", "--train-seconds", "0.01", "--minutes", "1"]
    words = ["--images", str(folder), "--out", str(out), "--only", "realtime-x2:eager", *sizes, *times]
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        env=ONE_THREAD,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    record = json.loads((out / "check.json").read_text())
    (row,), (trained,) = record["rows"], record["trained"]
    assert record["machine"]["engine"] == "plain torch"
    assert row["problem"] == "" and min(row["bare_steps_per_s"], row["steps_per_s"]) > 0
    assert row["syncs_per_step"] > 0, "on a CPU, losses are read after each step"
    assert trained["steps"] > 0 and trained["psnr_db"] > 0
    assert run.stdout.strip() == (out / "check.md").read_text().strip()


def test_a_case_without_time_is_listed_and_one_that_fails_is_counted(tmp_path):
    code = """
import sys
sys.path[:0] = ["tests/gpu", "tests/support"]
import plain_deepspeed, check, time
bench = check.Bench(check.torch.device("cpu"), None, None, 2, 16, 0.01)
cases = [case for case in check.CASES if not case.compile][:1]
late, = check.measure_cases(bench, cases, time.monotonic() - 1)
failed, = check.measure_cases(bench, cases, time.monotonic() + 60)
assert late["problem"] == "no time left", late
assert failed["problem"].startswith("failed: "), failed
assert "no time left" in check.format_row(late)
"""
    absent = "import sys; sys.modules |= {'deepspeed': None, 'av': None}\n"
    run = subprocess.run(
        [sys.executable, "-c", absent + code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        env=ONE_THREAD,
    )
    assert run.returncode == 0, run.stderr
