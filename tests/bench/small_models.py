"""Measures what makes small networks better in the same number of steps, on validation images alone.

    python tests/bench/small_models.py --train DIR… --teacher WEIGHTS [--steps 4000] [--variants NAME…] [--seeds 1]
        [--validate-every 20]

Every 20th image validates, the others train: 32 patches of 64 px a step, L1, AdamW at 0.001 with a cosine to zero, EMA
0.999, fp32, reparameterized. The variants:

    plain           the realtime-x2 recipe
    distilled-0.5   the loss is half L1 to the original and half L1 to the teacher's output
    distilled-1     the loss is L1 to the teacher's output
    long            plain, twice the steps
    x4              realtime-x4, plain
    x4-warm         realtime-x4, whose layers begin with those of "plain", where they have the same shape

The teacher upscales each training image once; --cache keeps its outputs between calls. It prints a table of PSNR in dB
(RGB), means over the validation images, for each seed, and the minutes of processor time, the teacher's included.
"x4-warm" needs "plain" in the same call.
"""

import argparse
import copy
import math
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor

from sr.models.checkpoint import export_checkpoint, load_model
from sr.models.network import SuperResolutionNetwork
from sr.models.presets import describe
from sr.models.registry import build_for_training
from sr.training.validation import psnr_db

PATCH_PX, PATCHES, RATE, WARMUP_STEPS, EMA, MULTIPLE_PX = 64, 32, 1e-3, 100, 0.999, 16
VARIANTS = ("plain", "distilled-0.5", "distilled-1", "long", "x4", "x4-warm")
Pairs = list[tuple[Tensor, Tensor]]


def read_images(folders: Iterable[Path]) -> list[np.ndarray]:
    """Return the images of some folders, sorted by path, cut to a multiple of MULTIPLE_PX."""
    images = []
    for path in sorted(path for folder in folders for path in folder.iterdir()):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            image = np.array(Image.open(path).convert("RGB"))
            height, width = (side // MULTIPLE_PX * MULTIPLE_PX for side in image.shape[:2])
            images.append(image[:height, :width])
    return images


def make_pairs(images: list[np.ndarray], scale: int) -> Pairs:
    """Return (LR, HR) of each image, uint8 [1,3,h,w]."""

    def pair(image: np.ndarray) -> tuple[Tensor, Tensor]:
        size = (image.shape[1] // scale, image.shape[0] // scale)
        lr_image = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        first, second = (torch.from_numpy(one.copy()).permute(2, 0, 1)[None] for one in (lr_image, image))
        return first, second

    return [pair(image) for image in images]


def teach(weights: Path, pairs: Pairs, cache: Path | None) -> list[Tensor]:
    """Return what the teacher makes of the LR images: float16 levels [1,3,h,w]."""
    if cache and cache.is_file():
        outputs: list[Tensor] = torch.load(cache)
        return outputs
    with tempfile.TemporaryDirectory() as scratch:
        export_checkpoint(weights, Path(scratch))
        teacher = load_model(Path(scratch))
    with torch.inference_mode():
        outputs = [teacher.upscale_levels(lr_image.float()).half() for lr_image, _ in pairs]
    if cache:
        torch.save(outputs, cache)
    return outputs


def draw(stream: np.random.Generator, sources: list[tuple[Tensor, ...]], scale: int) -> list[Tensor]:
    """Cut a batch of patches from random images: from each of its tensors at the same place, turned alike."""
    rows = []
    for number in stream.integers(len(sources), size=PATCHES).tolist():
        lr_px = PATCH_PX // scale
        top, left = (int(stream.integers(side - lr_px + 1)) for side in sources[number][0].shape[2:])
        turns, flipped = int(stream.integers(4)), bool(stream.integers(2))
        row = []
        for place, image in enumerate(sources[number]):
            unit = scale if place else 1
            patch = image[:, :, top * unit : (top + lr_px) * unit, left * unit : (left + lr_px) * unit]
            patch = torch.rot90(patch, turns, (2, 3))
            row.append(patch.flip(3) if flipped else patch)
        rows.append(row)
    return [
        torch.cat(patches).contiguous(memory_format=torch.channels_last)
        for patches in zip(*rows, strict=True)
    ]


def train(
    network: SuperResolutionNetwork, sources: list[tuple[Tensor, ...]], share: float, steps: int, seed: int
) -> SuperResolutionNetwork:
    """Train a network; return its EMA. `share` of the loss is the distance to the third tensor of each source."""
    stream = np.random.default_rng(seed)
    ema = SuperResolutionNetwork(copy.deepcopy(network.core), network.description)
    weights, averages = list(network.parameters()), list(ema.parameters())
    optimizer = torch.optim.AdamW(weights, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
    darkest, brightest = network.value_range
    for step in range(steps):
        falling = 0.5 * (1 + math.cos(math.pi * (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)))
        for group in optimizer.param_groups:
            group["lr"] = RATE * ((step + 1) / WARMUP_STEPS if step < WARMUP_STEPS else falling)
        lr_image, hr_image, *taught = draw(stream, sources, network.scale)
        prediction = network.predict(lr_image)
        loss = functional.l1_loss(prediction, network.normalize(hr_image))
        if taught:
            target = taught[0].float() * ((brightest - darkest) / 255.0) + darkest
            loss = (1 - share) * loss + share * functional.l1_loss(prediction, target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()
        decay = min(EMA, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(averages, weights, 1 - decay)
    return ema


def take_layers(network: SuperResolutionNetwork, source: SuperResolutionNetwork) -> None:
    """Copy the weights that have the same name and shape."""
    own = network.core.state_dict()
    alike = {
        name: weight for name, weight in source.core.state_dict().items() if own[name].shape == weight.shape
    }
    network.core.load_state_dict(own | alike)


def run(
    variant: str, options: argparse.Namespace, images: list[np.ndarray], seed: int, before: dict
) -> float:
    """Train one variant; return its validation PSNR."""
    scale = 4 if variant.startswith("x4") else 2
    every = options.validate_every
    validation = make_pairs(images[::every], scale)
    pairs = make_pairs([image for number, image in enumerate(images) if number % every], scale)
    share = float(variant.partition("-")[2]) if variant.startswith("distilled") else 0.0
    sources: list[tuple[Tensor, ...]] = list(pairs)
    if share:
        taught = teach(options.teacher, pairs, options.cache)
        sources = [(*pair, output) for pair, output in zip(pairs, taught, strict=True)]
    torch.manual_seed(seed)
    network = build_for_training(describe(f"realtime-x{scale}")).to(memory_format=torch.channels_last)  # type: ignore
    if variant == "x4-warm":
        take_layers(network, before["plain", seed])
    trained = train(network, sources, share, options.steps * (2 if variant == "long" else 1), seed)
    before[variant, seed] = trained
    with torch.inference_mode():
        return float(
            np.mean([psnr_db(trained(lr_image), hr_image).item() for lr_image, hr_image in validation])
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", nargs="+", type=Path, required=True, help="folders of photographs")
    parser.add_argument("--teacher", type=Path, help="weights of an x2 network")
    parser.add_argument("--cache", type=Path, help="file for the teacher's outputs")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--validate-every", type=int, default=20, help="one image in so many validates")
    options = parser.parse_args()
    if "x4-warm" in options.variants and "plain" not in options.variants:
        parser.error("x4-warm begins with the layers of plain: name plain, too")
    if not options.teacher and any(variant.startswith("distilled") for variant in options.variants):
        parser.error("Distilling needs --teacher")
    images, before = read_images(options.train), {}
    print(
        "| variant | "
        + " | ".join(f"seed {seed}, dB" for seed in range(options.seeds))
        + " | processor minutes |"
    )
    print("|" + "---|" * (options.seeds + 2))
    for variant in options.variants:
        began = time.process_time()
        found = [run(variant, options, images, seed, before) for seed in range(options.seeds)]
        minutes = (time.process_time() - began) / 60
        print(
            f"| {variant} | " + " | ".join(f"{one:.3f}" for one in found) + f" | {minutes:.1f} |", flush=True
        )


if __name__ == "__main__":
    main()
