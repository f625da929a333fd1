"""Measures a training recipe: trains on folders of photographs and evaluates on benchmarks, by public commands alone.

    python tests/bench/recipe.py --train DIR… --benchmarks DIR… [--store work] [--curve FILE.svg] [-- more]

A DIR of --benchmarks is a folder of images, or one with HR/ and LR/. Arguments after `--` are passed to every command:
`-- --model-preset vapsr3x3-x2 --training-max-hours 0.167 --training-precision fp16 --training-compile true`. The same
command trains on a GPU if there is one. It prints, for each benchmark, the PSNR on Y of the trained network, of its
fp16 and int8 IR, and of bicubic; and steps and pairs per second, and the share of time spent waiting for data.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from data.atomic_files import read_json, read_jsonl
from data.html.line_chart import ReferenceLine, draw_chart, stack_charts


def luigi(config: str, task: str, *arguments: str) -> str:
    """Run a task by its command; return its output.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-m", "luigi", "--module", "tasks", task, *arguments]
    result = subprocess.run(
        command,
        env=os.environ | {"LUIGI_CONFIG_PATH": config},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if result.returncode:
        raise SystemExit(f"{task} ended with {result.returncode}")
    return result.stdout


def find_path(printed: str, label: str) -> Path:
    """Return the path that a task prints after a label."""
    return Path(re.search(rf"^{re.escape(label)}: (.+)$", printed, re.MULTILINE).group(1))


def main(argv: list[str]) -> int:
    """Train, evaluate and print; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", nargs="+", type=Path, required=True)
    parser.add_argument("--benchmarks", nargs="+", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path("work"))
    parser.add_argument("--config", default="luigi.recipe.cfg")
    parser.add_argument("--curve", type=Path, help="SVG file to write, of PSNR by step")
    split = argv.index("--") if "--" in argv else len(argv)
    options, more = parser.parse_args(argv[:split]), argv[split + 1 :]
    shared = ["--store-root", str(options.store)]
    shared += ["--selection-datasets", ",".join(map(str, options.train))]
    shared += ["--evaluation-benchmarks", ",".join(map(str, options.benchmarks)), *more]
    luigi(options.config, "SelectSamples", *shared)
    begun = time.perf_counter()
    run = find_path(luigi(options.config, "TrainModel", *shared), "Training run")
    minutes = (time.perf_counter() - begun) / 60
    record, lines = read_json(run / "training.json"), list(read_jsonl(run / "history.jsonl"))
    print(
        f"{record['preset']}: {record['steps']} steps, {record['epochs']} epochs, {minutes:.1f} minutes by the clock"
    )
    print(f"validation {record['best_psnr_db']:.2f} dB, bicubic {record['bicubic_psnr_db']:.2f} dB")
    print(speeds(run))
    models = {"torch, fp32": "trained"}
    for precision in ("fp16", "int8"):
        printed = luigi(options.config, "ExportOpenVINO", "--precision", precision, *shared)
        models[f"IR, {precision}"] = str(find_path(printed, f"OpenVINO IR ({precision})"))
    for folder in options.benchmarks:
        bicubic = None
        for name, model in models.items():
            arguments = ("--model", model, "--benchmark", str(folder))
            printed = luigi(options.config, "EvaluateModel", *arguments, *shared)
            report = read_json(find_path(printed, "Evaluation") / "report.json")
            if bicubic is None:
                bicubic = report["baselines"]["bicubic"]["psnr_db"]
                print(f"{folder}: bicubic {bicubic:.2f} dB on Y")
            db = report["mean"]["psnr_db"]
            print(f"  {name:12} {db:.3f} dB, {db - bicubic:+.2f}", flush=True)
    if options.curve:
        options.curve.write_text(curve(lines, record["bicubic_psnr_db"]))
    return 0


def curve(lines: list[dict[str, Any]], bicubic_psnr_db: float) -> str:
    """Return an SVG file of the validation PSNR by step."""
    drawn = draw_chart(
        [(line["step"], line["psnr_db"]) for line in lines],
        title="Validation PSNR",
        x_label="step",
        y_label="dB",
        references=[ReferenceLine(f"bicubic, {bicubic_psnr_db:.2f} dB", bicubic_psnr_db)],
    )
    return stack_charts([drawn])


def speeds(run: Path) -> str:
    """Return the medians of the speeds that the log has for each epoch."""
    found = re.findall(r"\{'speed/steps_per_s'.*?\}", (run / "run" / "log.txt").read_text())
    rows = [json.loads(one.replace("'", '"')) for one in found]
    if not rows:
        return "no epochs in the log"
    medians = {name: sorted(row[name] for row in rows)[len(rows) // 2] for name in rows[0]}
    return (
        f"{medians['speed/steps_per_s']:.1f} steps/s, {medians['speed/pairs_per_s']:.0f} pairs/s, "
        f"{medians['speed/data_wait_share']:.1%} of the time waiting for data"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
