"""Reports on a run: history.jsonl, TensorBoard events, progress.json and, at the end, curve.svg.

Only rank 0 writes them. history.jsonl contains what equal jobs always produce; everything that depends on a clock goes
to TensorBoard and `run/`. No part of training reads any of it back.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from data.atomic_files import write_bytes, write_jsonl
from data.html.line_chart import ReferenceLine, draw_chart, stack_charts
from sr.training.run_files import CURVE, EVENTS, HISTORY, PROGRESS

PROGRESS_EVERY_S = 1.0
SHOWN_IMAGES = 3
SHOWN_SIDE_PX = 256
"""Side of the shown center of the HR image."""


class RunLog:
    """Writes the reports of a run."""

    def __init__(self, run_dir: Path, step: int, lines: list[dict[str, Any]]) -> None:
        """Open the reports at a checkpoint, and discard what was reported for later steps.

        Args:
            run_dir: the run's directory.
            step: completed optimizer steps.
            lines: the lines of history.jsonl up to there.
        """
        self._history, self._progress, self._curve = (run_dir / name for name in (HISTORY, PROGRESS, CURVE))
        write_jsonl(self._history, lines)
        self._events = SummaryWriter(run_dir / EVENTS, purge_step=step + 1)
        self._progress_written = 0.0

    def write_progress(self, done: int, total: int, note: str, at_once: bool = False) -> None:
        """Write how far the run is, at most once a second unless `at_once`."""
        now = time.monotonic()
        if at_once or now - self._progress_written >= PROGRESS_EVERY_S:
            self._progress_written = now
            # Not flushed to the disk, which would stop the training; it is worthless after a power cut.
            part = self._progress.with_suffix(".part")
            part.write_text(json.dumps({"done": done, "total": total, "note": note}))
            os.replace(part, self._progress)

    def add_scalars(self, step: int, values: dict[str, float]) -> None:
        """Plot values in TensorBoard against the step."""
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def write_epoch(self, lines: list[dict[str, Any]], rates: dict[str, float]) -> None:
        """Write the history, `lines` of all epochs, and plot its last line and `rates`, which depend on the clock."""
        write_jsonl(self._history, lines)
        line = lines[-1]
        scalars = {f"epoch/{name}": value for name, value in line.items() if isinstance(value, int | float)}
        # A loss with one term equals its term.
        if len(line["losses"]) > 1:
            scalars |= {f"loss/{name}": value for name, value in line["losses"].items() if value is not None}
        self.add_scalars(line["step"], scalars | rates)
        self._events.flush()

    def add_images(self, step: int, lr_image: Tensor, output: Tensor, target: Tensor) -> None:
        """Show validation images in TensorBoard: uint8 [n,3,h,w], the LR image at its own size."""
        scale = output.shape[2] // lr_image.shape[2]
        shown = {
            "LR": _crop_center(lr_image, SHOWN_SIDE_PX // scale),
            "output": _crop_center(output),
            "target": _crop_center(target),
        }
        for name, images in shown.items():
            for index, image in enumerate(images[:SHOWN_IMAGES]):
                self._events.add_image(f"image {index}/{name}", image, step)

    def close(self, lines: list[dict[str, Any]]) -> None:
        """Write buffered events, and the chart of the whole history."""
        self._events.close()
        if charts := _draw_charts(lines):
            write_bytes(self._curve, stack_charts(charts).encode())


def _draw_charts(lines: list[dict[str, Any]]) -> list[Markup]:
    """Draw loss and PSNR by step, each if it has a value in any epoch."""
    charts = []
    for field, title, unit in (("loss", "training loss", ""), ("psnr_db", "validation PSNR", ", dB")):
        points = [(line["step"], line[field]) for line in lines if line[field] is not None]
        if not points:
            continue
        bicubic = lines[-1]["bicubic_psnr_db"]
        references = [ReferenceLine(f"bicubic, {bicubic:.2f} dB", bicubic)] if field == "psnr_db" else []
        charts.append(
            draw_chart(points, title=title, x_label="step", y_label=title + unit, references=references)
        )
    return charts


class Pace:
    """Measures the speed of this rank and its waiting for data since an epoch began, by its own clock."""

    def __init__(self, step: int) -> None:
        """Start at `step` optimizer steps."""
        self.waited_s = 0.0
        self._started, self._step = time.perf_counter(), step

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of a block as waiting."""
        started = time.perf_counter()
        yield
        self.waited_s += time.perf_counter() - started

    def rates(self, step: int, pairs_per_step: int) -> dict[str, float]:
        """Return the speeds at `step`, by TensorBoard's names; empty if there was no step."""
        seconds = max(time.perf_counter() - self._started, 1e-9)
        steps = step - self._step
        if not steps:
            return {}
        return {
            "speed/steps_per_s": steps / seconds,
            "speed/pairs_per_s": steps * pairs_per_step / seconds,
            "speed/data_wait_share": self.waited_s / seconds,
        }


def _crop_center(images: Tensor, side_px: int = SHOWN_SIDE_PX) -> Tensor:
    height, width = images.shape[2:]
    top, left = max(0, (height - side_px) // 2), max(0, (width - side_px) // 2)
    return images[:, :, top : top + side_px, left : left + side_px].to(torch.uint8).cpu()
