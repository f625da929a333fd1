"""Draw docs/images/dag.svg: every task, and what each needs.

Which tasks there are and which arrows between them is in `tasks`; where they stand is here.

    python docs/_tools/draw_dag.py            # writes it
    python docs/_tools/draw_dag.py --check    # exit code 1 if the drawing is another, or lacks a task
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

import tasks

DRAWING = Path(__file__).parents[1] / "images" / "dag.svg"
WIDTH, HEIGHT, BOX_WIDTH, BOX_HEIGHT = 980, 684, 152, 40
_X = (30, 216, 402, 588, 774)
_COLORS = {
    "prepare": ("#e3f2fd", "#1565c0"),
    "select": ("#fff3e0", "#e65100"),
    "export": ("#f3e5f5", "#6a1b9a"),
    "evaluate": ("#e8f5e9", "#2e7d32"),
    "beside": ("#f5f5f5", "#616161"),
}


class Box(NamedTuple):
    """A task in the drawing."""

    task: str
    column: int
    top: int
    kind: str
    note: str = ""
    """A few words below the name."""
    many: bool = False
    """Whether there is one for each shard."""

    def center(self) -> tuple[float, float]:
        """Return the middle of the box."""
        return _X[self.column] + BOX_WIDTH / 2, self.top + BOX_HEIGHT / 2


BOXES = {
    "download": Box("Download", 0, 44, "prepare"),
    "rip": Box("RipDisc", 0, 96, "prepare"),
    "urls": Box("FetchUrls", 0, 148, "prepare", "a list of URLs"),
    "unpack": Box("UnpackVideos", 2, 14, "prepare", "archives of videos"),
    "index": Box("IndexSource", 1, 70, "prepare"),
    "plan": Box("PlanCrops", 2, 70, "prepare"),
    "pack": Box("PackShard", 3, 70, "prepare", many=True),
    "crops": Box("MakeCrops", 4, 70, "prepare"),
    "fetch": Box("FetchDataset", 1, 136, "beside", "from a URL"),
    "verify": Box("VerifyDataset", 2, 136, "beside"),
    "folder": Box("ExportFolder", 3, 136, "beside"),
    "publish": Box("PublishDataset", 4, 136, "beside", "to a URL"),
    "datasets": Box("MakeCrops", 0, 240, "prepare", "of each dataset"),
    "benchmarks": Box("IndexSource", 0, 318, "prepare", "of each benchmark"),
    "describe": Box("DescribeShard", 1, 214, "select", many=True),
    "described": Box("DescribeCrops", 2, 214, "select", "local features"),
    "embed": Box("EmbedShard", 1, 266, "select", many=True),
    "embedded": Box("EmbedCrops", 2, 266, "select", "optional: SSCD"),
    "windows": Box("EmbedBenchmark", 2, 318, "select"),
    "parts": Box("MatchParts", 3, 240, "select"),
    "score": Box("ScoreShard", 1, 370, "select", many=True),
    "scored": Box("ScoreCrops", 2, 370, "select", "optional: pyiqa, ONNX"),
    "same": Box("FindDuplicates", 3, 188, "select", "optional"),
    "samples": Box("SelectSamples", 4, 318, "select", "leakage, rules, caps"),
    "review": Box("ReviewSelection", 4, 240, "select", "selection.html"),
    "search": Box("SearchArchitecture", 3, 392, "select", "optional"),
    "train": Box("TrainModel", 4, 432, "select", "DeepSpeed"),
    "checkpoint": Box("ExportCheckpoint", 4, 500, "export"),
    "onnx": Box("ExportOnnx", 3, 500, "export"),
    "openvino": Box("ExportOpenVINO", 2, 500, "export", "fp32, fp16, int8"),
    "shader": Box("ExportShader", 3, 444, "export", "mpv, libplacebo"),
    "ncnn": Box("ExportNcnn", 4, 568, "export", "Upscayl, realesrgan"),
    "encode": Box("EncodePoint", 0, 500, "evaluate", "each rate and size"),
    "layer": Box("EncodeLayer", 1, 632, "evaluate", "optional"),
    "measure": Box("MeasurePoint", 0, 568, "evaluate", "each upscaler"),
    "gain": Box("MeasureCodecGain", 0, 632, "evaluate", "codec-gain.html"),
    "images": Box("UpscaleImages", 1, 450, "beside"),
    "video": Box("UpscaleVideo", 1, 500, "beside"),
    "speed": Box("BenchmarkModel", 1, 550, "beside"),
    "baselines": Box("EvaluateBaselines", 2, 568, "evaluate"),
    "evaluate": Box("EvaluateModel", 3, 568, "evaluate"),
    "compare": Box("CompareModels", 3, 632, "evaluate"),
    "report": Box("FullPipeline", 4, 632, "evaluate", "report.html"),
}
ARROWS = """
download index, rip index, urls index, unpack index, index plan,
plan pack, pack crops, crops verify, crops folder, crops publish,
datasets describe, datasets embed, datasets score, describe described, embed embedded, described parts, embedded parts,
described same, same samples,
benchmarks windows, windows parts, score scored, scored samples, parts samples, samples review,
samples train, samples search,
train checkpoint, checkpoint shader, checkpoint ncnn,
checkpoint onnx, onnx openvino, openvino images, openvino video, openvino speed, checkpoint evaluate,
encode measure, measure gain, encode layer, layer measure,
onnx evaluate, openvino evaluate, baselines evaluate, evaluate compare, evaluate report
"""
_TITLES = {
    28: "Prepare: one chain per dataset (folder, archive, video, disc)",
    204: "Select, and train",
    478: "Export and evaluate",
}


def draw() -> str:
    """Return the drawing.

    Raises:
        ValueError: a task is not in it, or an arrow is none of those in the docstring of `tasks`.
    """
    real = {
        (upstream, name)
        for upstream, below in re.findall(r"^    (\w+) → (.+)$", tasks.__doc__ or "", re.MULTILINE)
        for name in below.split(", ")
    }
    pairs = [(BOXES[one], BOXES[other]) for one, other in (pair.split() for pair in ARROWS.split(","))]
    wrong = [f"{one.task} → {other.task}" for one, other in pairs if (one.task, other.task) not in real]
    missing = set(tasks.__all__) - {box.task for box in BOXES.values()}
    if wrong or missing:
        raise ValueError(
            f"dag.svg has arrows that are none: {wrong}, and lacks the tasks {sorted(missing)}. Correct BOXES and "
            "ARROWS in docs/_tools/draw_dag.py, and run it"
        )
    name = "The tasks and what each needs"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="14" role="img" aria-label="{name}">',
        f"<title>{name}</title>",
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L10 5L0 10z" fill="#555"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#fff"/>',
        *(f'<text x="30" y="{y}" font-size="13" fill="#444">{text}</text>' for y, text in _TITLES.items()),
        *(_arrow(one, other) for one, other in pairs),
        *(_box(box) for box in BOXES.values()),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _box(box: Box) -> str:
    fill, stroke = _COLORS[box.kind]
    x, y = box.center()
    name = f"{box.task} × N" if box.many else box.task
    note = f'<text x="{x:g}" y="{y + 15:g}" text-anchor="middle" font-size="10" fill="#444">{box.note}</text>'
    return (
        f'<rect x="{_X[box.column]}" y="{box.top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="7" '
        f'fill="{fill}" stroke="{stroke}"/>'
        f'<text x="{x:g}" y="{y + (0 if box.note else 5):g}" text-anchor="middle" fill="#111">{name}</text>'
        f"{note if box.note else ''}"
    )


def _arrow(one: Box, other: Box) -> str:
    """Return a line between the sides that face each other."""
    (x, y), (to_x, to_y) = one.center(), other.center()
    if one.column == other.column:
        down = 1 if to_y > y else -1
        y, to_y = y + down * BOX_HEIGHT / 2, to_y - down * BOX_HEIGHT / 2
    elif to_y > y + BOX_HEIGHT * 1.5 and one.column > other.column:
        y, to_y = y + BOX_HEIGHT / 2, to_y - BOX_HEIGHT / 2
    else:
        right = 1 if to_x > x else -1
        x, to_x = x + right * BOX_WIDTH / 2, to_x - right * BOX_WIDTH / 2
    return (
        f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" fill="none" stroke="#555" stroke-width="1.4" '
        'marker-end="url(#arrow)"/>'
    )


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(draw() != DRAWING.read_text(encoding="utf-8"))
    DRAWING.write_text(draw(), encoding="utf-8")
