"""Train a network for some hundred steps from different initializations, and print how good each becomes.

    python tests/bench/starts.py FOLDER BENCHMARK [--preset realtime-x2] [--steps 600] [--seeds 2] [--rate 0.001]

FOLDER holds training images; BENCHMARK has HR/ and LR/ for the preset's scale (such as Set5/x2). The initializations
are torch's defaults, ours, and ours with reparameterization; all see the same patches. For each it prints the PSNR of
the benchmark dataset (Y) after each quarter of the steps, how many channels of each hidden layer never fire on training
images, and the CPU seconds of this process. There is no trainer and no DALI: only the network is compared.
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
from sr.models.network import SuperResolutionNetwork
from sr.models.presets import ModelDescription, find_preset
from sr.models.registry import build_network
from sr.models.reparameterization import add_reparameterization

CROPS_PER_IMAGE, CROP_PX, BATCH_SIZE, HR_PATCH_PX = 6, 240, 16, 60
DEAD_SHARE = 1e-3
"""A channel that fires at a smaller share of positions counts as dead."""
STARTS = ("torch", "ours", "reparameterize")


def load_crops(folder: Path, scale: int) -> tuple[Tensor, Tensor]:
    """Return random LR and HR crops of a folder's images: uint8 [n,3,h,w]."""
    stream = np.random.default_rng(0)
    lr_crops, hr_crops = [], []
    for path in sorted(folder.iterdir()):
        image = decode(path.read_bytes())
        height, width = image.shape[:2]
        for _ in range(CROPS_PER_IMAGE if min(height, width) >= CROP_PX else 0):
            top, left = stream.integers(0, height - CROP_PX + 1), stream.integers(0, width - CROP_PX + 1)
            hr_crops.append(image[top : top + CROP_PX, left : left + CROP_PX])
            side = CROP_PX // scale
            lr_crops.append(pillow_resize(hr_crops[-1], side, side, Image.Resampling.BICUBIC))
    lr_tensor, hr_tensor = (
        torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous() for crops in (lr_crops, hr_crops)
    )
    return lr_tensor, hr_tensor


def build_start(description: ModelDescription, start: str, seed: int) -> SuperResolutionNetwork:
    """Build an untrained network with one of STARTS as its initialization."""
    torch.manual_seed(seed)
    network = build_network(description)
    if start == "torch":
        for layer in network.core.layers[:-1]:
            nn.Conv2d.reset_parameters(layer)
    if start == "reparameterize":
        add_reparameterization(network.core)
    return network.to(memory_format=torch.channels_last)


def draw_batch(
    lr_crops: Tensor, hr_crops: Tensor, scale: int, stream: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return random LR and HR patches, flipped and rotated: uint8 [BATCH_SIZE,3,h,w]."""
    side, lr_patches, hr_patches = HR_PATCH_PX // scale, [], []
    for index in torch.randint(0, len(lr_crops), (BATCH_SIZE,), generator=stream).tolist():
        top, left = torch.randint(0, lr_crops.shape[2] - side + 1, (2,), generator=stream).tolist()
        flip, turns = torch.randint(0, 4, (2,), generator=stream).tolist()
        for factor, crops, patches in ((1, lr_crops, lr_patches), (scale, hr_crops, hr_patches)):
            rows = slice(factor * top, factor * (top + side))
            columns = slice(factor * left, factor * (left + side))
            patch = crops[index, :, rows, columns]
            patches.append(torch.rot90(patch.flip(2) if flip & 1 else patch, turns, (1, 2)))
    return torch.stack(lr_patches), torch.stack(hr_patches)


def evaluate(network: SuperResolutionNetwork, benchmark: Path) -> float:
    """Return the mean PSNR on a benchmark dataset in dB: on Y, with a border of the scale cropped."""
    psnrs = []
    for path in sorted((benchmark / "LR").iterdir()):
        lr_image = decode(path.read_bytes())
        height, width = lr_image.shape[0] * network.scale, lr_image.shape[1] * network.scale
        even = np.pad(lr_image, ((0, lr_image.shape[0] % 2), (0, lr_image.shape[1] % 2), (0, 0)), mode="edge")
        with torch.inference_mode():
            upscaled = network(torch.from_numpy(even).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        original = decode((benchmark / "HR" / path.name).read_bytes())[:height, :width]
        pair = [crop_border(luma(image[:height, :width]), network.scale) for image in (original, upscaled)]
        psnrs.append(psnr(*pair))
    return float(np.mean(psnrs))


def count_dead_channels(network: SuperResolutionNetwork, lr_image: Tensor) -> list[int]:
    """Return for each hidden layer how many of its channels never fire."""
    counts = []
    with torch.inference_mode():
        padded = nn.functional.pad(network.normalize(lr_image), (2, 2, 2, 2), mode="replicate")
        features = nn.functional.pixel_unshuffle(padded, 2)
        for layer in network.core.layers[:-1]:
            features = nn.functional.relu(layer(features))
            fires = (features > 0).float().mean(dim=(0, 2, 3))
            counts.append(int((fires < DEAD_SHARE).sum()))
    return counts


def train(
    network: SuperResolutionNetwork, crops: tuple[Tensor, Tensor], steps: int, learning_rate: float
) -> Iterator[int]:
    """Train with L1, AdamW and bf16: warm-up for a tenth of the steps, then a cosine; yield at each quarter."""
    stream = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.99), weight_decay=0.005, fused=True)
    for step in range(1, steps + 1):
        factor = min(1, 10 * step / steps) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * factor
        lr_patches, hr_patches = draw_batch(*crops, network.scale, stream)
        with torch.autocast("cpu", torch.bfloat16):
            prediction = network.predict(lr_patches)
        optimizer.zero_grad()
        nn.functional.l1_loss(prediction, network.normalize(hr_patches)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        if step % max(1, steps // 4) == 0:
            yield step


def main() -> None:
    """Train every initialization with every seed, and print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--preset", default="realtime-x2")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate (default: 0.001)")
    options = parser.parse_args()
    untrained = build_network(find_preset(options.preset))  # interpolates
    crops = load_crops(options.folder, untrained.scale)
    print(f"bicubic {evaluate(untrained, options.benchmark):.3f} dB")
    for start in STARTS:
        for seed in range(options.seeds):
            network = build_start(find_preset(options.preset), start, seed)
            began = time.process_time()
            quarters = train(network, crops, options.steps, options.rate)
            psnrs = [round(evaluate(network, options.benchmark), 3) for _ in quarters]
            seconds = time.process_time() - began
            dead = count_dead_channels(network, crops[0][::40])
            print(f"{start:8} seed {seed}: {psnrs} dB, dead {dead}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
