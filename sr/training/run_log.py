"""What a run tells the world: history.jsonl, TensorBoard events, progress.json, and at its end curve.svg.

Written by rank 0 alone. history.jsonl holds what the same job always gives; whatever a clock has a part in
goes to TensorBoard and `run/`. It decides nothing, and no part of training reads it back.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from data.atomic_files import write_bytes, write_json, write_jsonl
from sr.html.line_chart import Reference, chart, standalone
from sr.training.run_files import CURVE, EVENTS, HISTORY, PROGRESS

PROGRESS_EVERY_S = 1.0
SHOWN_IMAGES = 3
SHOWN_SIDE_PX = 256
"""Of the HR image; the center is shown."""


class Telling:
    """The run's own record of itself."""

    def __init__(self, run_dir: Path, step: int, lines: list[dict[str, Any]]) -> None:
        """Open the record where a state stands, forgetting what was told of steps after it.

        Args:
            run_dir: the run's directory.
            step: optimizer steps done.
            lines: the lines of history.jsonl up to there.
        """
        self._history = run_dir / HISTORY
        self._progress = run_dir / PROGRESS
        self._curve = run_dir / CURVE
        write_jsonl(self._history, lines)
        self._events = SummaryWriter(run_dir / EVENTS, purge_step=step + 1)
        self._told_at = 0.0

    def progress(self, done: int, total: int, note: str, at_once: bool = False) -> None:
        """Say how far the run is, at most once a second."""
        now = time.monotonic()
        if at_once or now - self._told_at >= PROGRESS_EVERY_S:
            self._told_at = now
            write_json(self._progress, {"done": done, "total": total, "note": note})

    def step(self, step: int, figures: dict[str, float]) -> None:
        """Plot figures of the training, by TensorBoard's names, against the step."""
        for name, value in figures.items():
            self._events.add_scalar(name, value, step)

    def epoch(self, lines: list[dict[str, Any]], figures: dict[str, float]) -> None:
        """Write the history down, and plot its last line.

        Args:
            lines: of all epochs; plain data that the same job always gives, with "step".
            figures: more for TensorBoard, such as rates.
        """
        write_jsonl(self._history, lines)
        line = lines[-1]
        told = {f"epoch/{name}": value for name, value in line.items() if isinstance(value, int | float)}
        # A loss of one term is its term.
        if len(line["losses"]) > 1:
            told |= {f"loss/{name}": value for name, value in line["losses"].items() if value is not None}
        self.step(line["step"], told | figures)
        self._events.flush()

    def images(self, step: int, lr_image: Tensor, output: Tensor, target: Tensor) -> None:
        """Show the fixed validation images: uint8 [n,3,h,w], low at its own size, output and target."""
        scale = output.shape[2] // lr_image.shape[2]
        shown = {
            "LR": _center(lr_image, SHOWN_SIDE_PX // scale),
            "output": _center(output),
            "target": _center(target),
        }
        for name, images in shown.items():
            for index, image in enumerate(images[:SHOWN_IMAGES]):
                self._events.add_image(f"image {index}/{name}", image, step)

    def close(self, lines: list[dict[str, Any]]) -> None:
        """Write what is still in memory, and the image of the whole history."""
        self._events.close()
        if drawn := _charts(lines):
            write_bytes(self._curve, standalone(drawn).encode())


def _charts(lines: list[dict[str, Any]]) -> list[Markup]:
    """Loss and PSNR by step; without what is never known."""
    drawn = []
    for field, title, unit in (("loss", "training loss", ""), ("psnr_db", "validation PSNR", ", dB")):
        points = [(line["step"], line[field]) for line in lines if line[field] is not None]
        if not points:
            continue
        bicubic = lines[-1]["bicubic_psnr_db"]
        references = [Reference(f"bicubic, {bicubic:.2f} dB", bicubic)] if field == "psnr_db" else []
        drawn.append(chart(points, title=title, x_label="step", y_label=title + unit, references=references))
    return drawn


class Pace:
    """How fast this rank is, and how long it waits for data, since an epoch began: by its own clock."""

    def __init__(self, step: int) -> None:
        """Begin at `step` optimizer steps."""
        self.waited_s = 0.0
        self._began, self._step = time.perf_counter(), step

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block's time as waiting."""
        began = time.perf_counter()
        yield
        self.waited_s += time.perf_counter() - began

    def rates(self, step: int, pairs_per_step: int) -> dict[str, float]:
        """Return the figures at `step`, by TensorBoard's names; none where no step was taken."""
        seconds = max(time.perf_counter() - self._began, 1e-9)
        steps = step - self._step
        if not steps:
            return {}
        return {
            "speed/steps_per_s": steps / seconds,
            "speed/pairs_per_s": steps * pairs_per_step / seconds,
            "speed/data_wait_share": self.waited_s / seconds,
        }


def _center(images: Tensor, side_px: int = SHOWN_SIDE_PX) -> Tensor:
    height, width = images.shape[2:]
    top, left = max(0, (height - side_px) // 2), max(0, (width - side_px) // 2)
    return images[:, :, top : top + side_px, left : left + side_px].to(torch.uint8).cpu()
