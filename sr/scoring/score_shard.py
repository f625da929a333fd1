"""Score the crops of a shard, in batches."""

from collections.abc import Sequence

import numpy as np

from data.crop_scores import ScorePaths, write_crop_scores
from data.dali_index import IndexLine, read_index
from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.imaging.decode import ImageFault, decode
from data.progress import Progress, silent
from data.shards import ShardPaths, read_image
from sr.scoring.metric_choice import MetricChoice
from sr.scoring.scorer import Floats, OnnxScorer, Scorer, UInt8Images


def make_scorer(choice: MetricChoice, device: str, threads: int, download: bool) -> Scorer:
    """Return what scores by a metric.

    Args:
        choice: the metric.
        device: auto, cuda or cpu; an ONNX file runs on the CPU.
        threads: threads on the CPU.
        download: whether weights may be fetched.

    Raises:
        UserError: a library, a file or the device is missing.
    """
    if choice.path:
        return OnnxScorer(choice.path)
    import torch

    from sr.scoring.pyiqa_metric import PyiqaScorer

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise UserError("[scores] device is cuda, but torch finds no CUDA device", "Use cpu or auto")
    return PyiqaScorer(choice.name, device, threads, download)


def score_shard(
    paths: ShardPaths,
    scorer: Scorer,
    metric: str,
    out: ScorePaths,
    *,
    batch_size: int,
    progress: Progress = silent,
) -> None:
    """Score all crops of a shard and write the scores.

    A crop that the metric fails for, or gives no number, has no score (NaN); these are counted.

    Args:
        paths: the shard.
        scorer: the metric.
        metric: its name.
        out: the files to write.
        batch_size: crops scored at once.
        progress: called with the number of crops.

    Raises:
        UserError: the shard is damaged, or the metric fails for every crop.
    """
    lines = read_index(paths.index)
    scores = np.full(len(lines), np.nan, np.float32)
    failures: dict[int, str] = {}
    for start in range(0, len(lines), batch_size):
        images = read_crops(paths, lines[start : start + batch_size])
        found, failed = score_images(scorer, images)
        scores[start : start + len(images)] = found
        failures |= {start + place: text for place, text in failed.items()}
        progress(start + len(images), len(lines))
    first = failures[min(failures)] if failures else ""
    if len(failures) == len(lines) and lines:
        raise UserError(
            f"{metric} fails for every crop of {paths.tar}: {first}",
            "Look whether it takes images of this size, or use another metric",
        )
    keys, sha256 = [line.key for line in lines], scorer.network_sha256
    write_crop_scores(out, metric, keys, scores, first_failure=first, network_sha256=sha256)


def score_images(scorer: Scorer, images: UInt8Images) -> tuple[Floats, dict[int, str]]:
    """Return the scores of images, NaN where there is none, and what the metric said about these, by place.

    Args:
        scorer: the metric.
        images: a batch. If the metric fails for it, each image is tried alone.
    """
    try:
        scores = scorer(images)
    except UserError:
        raise
    except Exception as error:  # a metric raises whatever its code comes across
        raise_if_exhausted(error)
        if len(images) == 1:
            return np.full(1, np.nan, np.float32), {0: _words(error)}
        alone = [score_images(scorer, images[place : place + 1]) for place in range(len(images))]
        failed = {place: said[0] for place, (_, said) in enumerate(alone) if said}
        return np.concatenate([found for found, _ in alone]), failed
    finite = np.isfinite(scores)
    failed = {int(place): f"it gives {scores[place]}" for place in np.flatnonzero(~finite)}
    return np.where(finite, scores, np.float32(np.nan)).astype(np.float32), failed


def read_crops(paths: ShardPaths, lines: Sequence[IndexLine]) -> UInt8Images:
    """Read crops of a shard by their lines in its index.

    Raises:
        UserError: one is damaged.
    """
    images = []
    with open(paths.tar, "rb") as tar:
        for line in lines:
            try:
                images.append(decode(read_image(tar, line)))
            except ImageFault as error:
                message = f"{paths.tar} is damaged: {line.key} can't be decoded ({error})"
                raise UserError(message, "Run VerifyDataset --rebuild on its dataset") from None
    return np.stack(images)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
