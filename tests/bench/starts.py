"""Train a network for some hundred steps from different starts, and print how good and how alive each becomes.

    python tests/bench/starts.py FOLDER BENCHMARK [--preset realtime-x2] [--steps 600] [--seeds 2] [--rate 0.001]

FOLDER holds images to learn from, BENCHMARK has HR/ and LR/ for the preset's scale (such as Set5/x2). A start is
torch's own weights, ours, or ours with branches; all see the same patches. Printed for each: PSNR of the benchmark (Y)
after each quarter, then how many channels of each hidden layer never fire on training images, and the CPU seconds
of this process. No trainer, no DALI: what is compared is the network alone.
"""

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from data.imaging.decode import decode
from sr.evaluation.metrics import crop_border, luma, psnr
from sr.imaging.resize import pillow_resize
from sr.models.network import UpsamplingNetwork
from sr.models.presets import ModelDescription, find_preset
from sr.models.registry import build, build_from
from sr.models.reparameterization import add_branches

CROPS_EACH, CROP_PX, BATCH, HIGH_PX = 6, 240, 16, 60
SELDOM = 1e-3
"""A channel that fires on a smaller share of positions is counted as dead."""
STARTS = ("torch", "ours", "reparameterize")


def crops_of(folder: Path, scale: int) -> tuple[Tensor, Tensor]:
    """Return random crops of a folder's images, low and high: uint8 [n,3,h,w]."""
    chance, lr_image, hr_image = np.random.default_rng(0), [], []
    for path in sorted(folder.iterdir()):
        image = decode(path.read_bytes())
        height, width = image.shape[:2]
        for _ in range(CROPS_EACH if min(height, width) >= CROP_PX else 0):
            top, left = chance.integers(0, height - CROP_PX + 1), chance.integers(0, width - CROP_PX + 1)
            hr_image.append(image[top : top + CROP_PX, left : left + CROP_PX])
            side = CROP_PX // scale
            lr_image.append(pillow_resize(hr_image[-1], side, side, Image.Resampling.BICUBIC))
    return tuple(
        torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2).contiguous() for side in (lr_image, hr_image)
    )


def network_of(description: ModelDescription, start: str, seed: int) -> UpsamplingNetwork:
    """Return an untrained network."""
    torch.manual_seed(seed)
    network = build_from(description)
    if start == "torch":
        for layer in network.core.layers[:-1]:
            nn.Conv2d.reset_parameters(layer)
    if start == "reparameterize":
        add_branches(network.core)
    return network.to(memory_format=torch.channels_last)


def batch_of(
    lr_image: Tensor, hr_image: Tensor, scale: int, stream: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return random patches, flipped and turned: uint8 [BATCH,3,h,w] of each side."""
    side, lr_images, hr_images = HIGH_PX // scale, [], []
    for index in torch.randint(0, len(lr_image), (BATCH,), generator=stream).tolist():
        top, left = torch.randint(0, lr_image.shape[2] - side + 1, (2,), generator=stream).tolist()
        flip, turns = torch.randint(0, 4, (2,), generator=stream).tolist()
        for factor, crops, patches in ((1, lr_image, lr_images), (scale, hr_image, hr_images)):
            patch = crops[
                index, :, factor * top : factor * (top + side), factor * left : factor * (left + side)
            ]
            patches.append(torch.rot90(patch.flip(2) if flip & 1 else patch, turns, (1, 2)))
    return torch.stack(lr_images), torch.stack(hr_images)


def judge(network: UpsamplingNetwork, benchmark: Path) -> float:
    """Return the mean PSNR of a benchmark, Y, border of the scale cropped, in dB."""
    found = []
    for path in sorted((benchmark / "LR").iterdir()):
        lr_image = decode(path.read_bytes())
        height, width = lr_image.shape[0] * network.scale, lr_image.shape[1] * network.scale
        even = np.pad(lr_image, ((0, lr_image.shape[0] % 2), (0, lr_image.shape[1] % 2), (0, 0)), mode="edge")
        with torch.inference_mode():
            ours = network(torch.from_numpy(even).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        truth = decode((benchmark / "HR" / path.name).read_bytes())[:height, :width]
        pair = [crop_border(luma(side[:height, :width]), network.scale) for side in (truth, ours)]
        found.append(psnr(*pair))
    return float(np.mean(found))


def dead_channels(network: UpsamplingNetwork, lr_image: Tensor) -> list[int]:
    """Return for each hidden layer how many of its channels never fire."""
    counts = []
    with torch.inference_mode():
        padded = nn.functional.pad(network.normalize(lr_image), (2, 2, 2, 2), mode="replicate")
        features = nn.functional.pixel_unshuffle(padded, 2)
        for layer in network.core.layers[:-1]:
            features = nn.functional.relu(layer(features))
            fires = (features > 0).float().mean(dim=(0, 2, 3))
            counts.append(int((fires < SELDOM).sum()))
    return counts


def train(
    network: UpsamplingNetwork, crops: tuple[Tensor, Tensor], steps: int, highest_rate: float
) -> Iterator[int]:
    """Train with L1, AdamW, bf16, a tenth of the steps warming up, then a cosine; yield the step at each quarter."""
    stream = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.99), weight_decay=0.005, fused=True)
    for step in range(1, steps + 1):
        rate = min(1, 10 * step / steps) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = highest_rate * rate
        lr_image, hr_image = batch_of(*crops, network.scale, stream)
        with torch.autocast("cpu", torch.bfloat16):
            prediction = network.predict(lr_image)
        optimizer.zero_grad()
        nn.functional.l1_loss(prediction, network.normalize(hr_image)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        if step % max(1, steps // 4) == 0:
            yield step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--preset", default="realtime-x2")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1e-3)
    options = parser.parse_args()
    crops = crops_of(options.folder, build(options.preset).scale)
    print(f"bicubic {judge(build(options.preset), options.benchmark):.3f} dB")
    for start in STARTS:
        for seed in range(options.seeds):
            network, began = network_of(find_preset(options.preset), start, seed), time.process_time()
            quarters = train(network, crops, options.steps, options.rate)
            marks = [round(judge(network, options.benchmark), 3) for _ in quarters]
            seconds = time.process_time() - began
            print(
                f"{start:8} seed {seed}: {marks} dB, dead {dead_channels(network, crops[0][::40])}, {seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
