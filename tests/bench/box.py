"""Renews a model in the box from a training run or a checkpoint: weights, graphs, model card and its page.

    python tests/bench/box.py NAME MODEL --benchmarks DIR… --training FILE.json [--store work]

NAME is a name of `sr.models.box`; MODEL is a run's best.safetensors, or any weights of its preset. FILE.json has what
no file of weights says: steps, hours, data. Every figure comes from EvaluateModel. The page is
docs/reference/models.md. docs/how-to/train-the-box.md has the commands before it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from data.atomic_files import read_json, write_bytes, write_json
from sr.models.box import BOX_MODELS, BoxModel

PAGE = Path("docs/reference/models.md")


def luigi(store: Path, task: str, *arguments: str) -> str:
    """Run a task; return its output.

    Raises:
        SystemExit: it failed.
    """
    command = [
        sys.executable,
        "-m",
        "luigi",
        "--module",
        "tasks",
        task,
        *arguments,
        "--store-root",
        str(store),
    ]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=os.environ)
    if ended.returncode:
        raise SystemExit(f"{task} ended with {ended.returncode}")
    return ended.stdout


def find_path(printed: str, label: str) -> Path:
    """Return the path that a task prints after a label."""
    return Path(re.search(rf"^{re.escape(label)}: (.+)$", printed, re.MULTILINE).group(1))


def copy_files(model: BoxModel, source: Path, store: Path) -> dict[str, Any]:
    """Export the weights, and put weights and graphs into the box; return model.json."""
    shared = ["--model", str(source), "--export-license", "MIT"]
    weights = find_path(luigi(store, "ExportCheckpoint", *shared), "Model")
    for planes in ("rgb", "luma") if model.works_on_luma else ("rgb",):
        graph = find_path(luigi(store, "ExportOnnx", "--planes", planes, *shared), "ONNX")
        write_bytes(model.graph(planes), graph.read_bytes())
    write_bytes(model.weights, weights.read_bytes())
    return read_json(weights.with_name("model.json"))


def evaluate(model: BoxModel, benchmarks: list[Path], store: Path) -> list[dict[str, Any]]:
    """Evaluate the model in the box, on Y, with the supplied LR images where there are any."""
    figures = []
    for benchmark in benchmarks:
        given = ["--model", model.name, "--benchmark", str(benchmark), "--channel", "y"]
        report = read_json(find_path(luigi(store, "EvaluateModel", *given), "Evaluation") / "report.json")
        mean, bicubic = report["mean"], report["baselines"]["bicubic"]
        figures.append(
            {
                "benchmark": benchmark.parent.name
                if re.fullmatch(r"x\d", benchmark.name)
                else benchmark.name,
                "images": report["images"],
                "protocol": report["protocol"]["name"],
                "channel": "y",
                "psnr_db": round(mean["psnr_db"], 3),
                "ssim": round(mean["ssim"], 4),
                "bicubic_psnr_db": round(bicubic["psnr_db"], 3),
                "bicubic_ssim": round(bicubic["ssim"], 4),
            }
        )
    return figures


def main(argv: list[str]) -> int:
    """Renew a model; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=BOX_MODELS)
    parser.add_argument("model", type=Path)
    parser.add_argument("--benchmarks", nargs="+", type=Path, required=True)
    parser.add_argument("--training", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path("work"))
    options = parser.parse_args(argv)
    model, facts = BOX_MODELS[options.name], json.loads(options.training.read_text())
    made = copy_files(model, options.model, options.store)
    card = {
        "schema": 1,
        "name": model.name,
        "summary": model.summary,
        "preset": model.preset,
        "license": "MIT",
        "weights_sha256": made["weights_sha256"],
        "parameters": made["parameters"],
        **facts,
    }
    write_json(model.card_path, card | {"figures": []})
    write_json(model.card_path, card | {"figures": evaluate(model, options.benchmarks, options.store)})
    PAGE.write_text(page())
    return 0


def page() -> str:
    """Return the page of all model cards."""
    parts = [
        "# Models in the box\n",
        "Trained weights that the package has with it. `--model NAME` takes them wherever a model is taken; what is",
        "upscaled without `--model` is upscaled with the first. Each is a `.safetensors` file of 135 KB beside its",
        "graphs and this card as JSON, in `sr/models/weights/`.\n",
        "```sh\nsr-factory upscale in.png out.png\n```\n",
        "[Train the models in the box](../how-to/train-the-box.md) has the commands that made them.\n",
    ]
    for model in BOX_MODELS.values():
        card = model.card()
        parts += [f"## {model.name}\n", *_card_lines(model, card)] if "figures" in card else []
    return "\n".join(parts).rstrip() + "\n"


def _card_lines(model: BoxModel, card: dict[str, Any]) -> list[str]:
    rows = [
        f"| {one['benchmark']} ({one['images']} images) | {one['bicubic_psnr_db']:.2f} | {one['psnr_db']:.2f} "
        f"({one['psnr_db'] - one['bicubic_psnr_db']:+.2f}) | {one['bicubic_ssim']:.4f} | {one['ssim']:.4f} |"
        for one in card["figures"]
    ]
    facts = [
        ("For", card["summary"]),
        ("Network", f"preset `{model.preset}`, {card['parameters']:,} parameters, RGB and luma"),
        ("License of the weights", card["license"]),
        *((name, card[key]) for name, key in (("Intended use", "intended_use"), ("Limits", "limits"))),
        ("Trained", card["training"]),
    ]
    data = [
        f"| {one['name']} | {one['images']} | {one['license']} | {one['source']} |" for one in card["data"]
    ]
    return [
        "| | |\n|---|---|",
        *(f"| {name} | {text} |" for name, text in facts),
        "\nTrained on:\n",
        "| data | images | license | source |\n|---|---|---|---|",
        *data,
        f"\nx2, PSNR in dB on Y and SSIM, {card['figures_note']}:\n" if card["figures"] else "",
        "| | bicubic | this model | bicubic SSIM | SSIM |\n|---|---|---|---|---|",
        *rows,
        "\nMade by:\n",
        "```sh",
        *card["commands"],
        "```\n",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
