"""Compare two ways to halve a JPEG: whole, then as the mean of 2 x 2 pixels; and within libjpeg's inverse DCT.

    python tests/bench/jpeg_halving.py [SOURCE_DIR] [--images 4] [--rounds 9]

The first is what crops are made from. The second decodes fewer numbers, and takes the chroma of 4:2:0 as it is stored.
The images are the mosaics of `tests/bench/crops.py` and two that are made: rings of rising frequency (a zone plate) in
color, and colored noise. Each is saved as JPEG at several qualities and chroma subsamplings, and as gray. The reference
is the image before compression, halved in floating point by a windowed sinc (Lanczos, three lobes, antialiased).

    RGB, luma, chroma  PSNR to the reference in dB. On the zone plate it measures aliasing.
    border             the step of the error across borders of the halved blocks (every 4 pixels), relative to its step
                       elsewhere: 1.00 where no border shows
    speed              CPU time of the mean of cells divided by that of the DCT, each with all decoding

The last column says whether the DCT loses more than 0.05 dB anywhere.
"""

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from crops import mosaics
from PIL import Image

from data.imaging.jpeg import decode_jpeg
from pipeline.downscale import downscale_by_two

QUALITIES = (60, 75, 85, 92, 97)
SUBSAMPLINGS = {"gray": -1, "4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
"""By name, Pillow's number."""
LARGEST_LOSS_DB = 0.05
BLOCK_PX = 4
SIDE_PX = 1024


def made_images() -> dict[str, np.ndarray]:
    """Return the images that are made: uint8, height x width x 3."""
    across = np.arange(SIDE_PX) - SIDE_PX / 2
    rings = np.cos(
        np.pi / SIDE_PX * (across[:, None] ** 2 + across[None, :] ** 2)
    )  # at the edges Nyquist's frequency
    plate = 127.5 + 100 * rings[:, :, None] * np.array([1.0, -0.4, 0.7])
    noise = np.random.default_rng(0).integers(0, 256, (SIDE_PX // 2, SIDE_PX // 2, 3), np.uint8)
    return {
        "zone plate": plate.round().astype(np.uint8),
        "noise": cv2.resize(noise, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC),
    }


def halve_ideally(image: np.ndarray) -> np.ndarray:
    """Return an image of half the size by a windowed sinc: float64, height x width x 3."""
    size = (image.shape[1] // 2, image.shape[0] // 2)
    channels = [Image.fromarray(image[:, :, channel].astype(np.float32)) for channel in range(3)]
    halves = [np.asarray(one.resize(size, Image.Resampling.LANCZOS), np.float64) for one in channels]
    return np.clip(np.stack(halves, axis=2), 0, 255)


def halve_in_dct(content: bytes) -> np.ndarray:
    """Return a JPEG halved in the inverse DCT, by the libjpeg-turbo that OpenCV has: RGB, or gray in three channels."""
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)[:, :, ::-1]


def halve_by_cells(content: bytes, mode: str = "rgb") -> np.ndarray:
    """Return a JPEG decoded whole, then halved as the mean of 2 x 2 pixels."""
    return downscale_by_two(decode_jpeg(content, mode))


def psnr_db(error: np.ndarray) -> float:
    """Return the PSNR of an error in levels of 255."""
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def measure(half: np.ndarray, reference: np.ndarray) -> list[float]:
    """Return the PSNR of RGB, luma and chroma in dB, and the step of the error across borders of blocks."""
    error = half - reference
    luma = error @ [0.299, 0.587, 0.114]
    chroma = (error[:, :, [2, 0]] - luma[:, :, None]) / [1.772, 1.402]
    steps = np.concatenate([np.abs(np.diff(luma, axis=axis)).mean(axis=1 - axis) for axis in (0, 1)])
    places = np.concatenate([np.arange(side - 1) for side in luma.shape])
    at_border = places % BLOCK_PX == BLOCK_PX - 1
    return [
        psnr_db(error),
        psnr_db(luma),
        psnr_db(chroma),
        steps[at_border].mean() / steps[~at_border].mean(),
    ]


def median_s(work: Callable[[], object], rounds: int) -> float:
    """Return the median CPU time of a call, in seconds."""
    work()
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken)


def save(image: np.ndarray, quality: int, subsampling: int) -> bytes:
    """Return an image as JPEG; gray for the subsampling -1."""
    buffer = io.BytesIO()
    options = {} if subsampling < 0 else {"subsampling": subsampling}
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def compare(image: np.ndarray, quality: int, subsampling: int, rounds: int) -> np.ndarray:
    """Return the measures of the mean of cells, those of the DCT, and the quotient of their times."""
    mode = "rgb"
    if subsampling < 0:
        mode, image = "mono", cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    content = save(image, quality, subsampling)
    cells, dct = halve_by_cells(content, mode), halve_in_dct(content)
    if mode == "mono":
        image, cells = (np.repeat(one[:, :, None], 3, axis=2) for one in (image, cells))
    reference = halve_ideally(image)
    speed = median_s(lambda: halve_by_cells(content, mode), rounds) / median_s(
        lambda: halve_in_dct(content), rounds
    )
    return np.array([*measure(cells, reference), *measure(dct, reference), speed])


def main(argv: list[str]) -> int:
    """Measure, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source_dir", nargs="?", type=Path, help="photographs that are stored without loss")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    kinds = {"photographs": list(mosaics(options.source_dir, options.images))}
    kinds |= {name: [image] for name, image in made_images().items()}
    measures = f"{'RGB':>8}{'luma':>7}{'chroma':>7}{'border':>7}"
    print(f"{'':30}{'mean of cells':>30}{'DCT':>30}\n{'':30} {measures} {measures}{'speed':>8}")
    for kind, images in kinds.items():
        for name, subsampling in SUBSAMPLINGS.items():
            for quality in QUALITIES:
                rows = [compare(image, quality, subsampling, options.rounds) for image in images]
                print(f"{f'{kind}, {name}, {quality}':30}{format_row(np.mean(rows, axis=0), name == 'gray')}")
    return 0


def format_row(row: np.ndarray, is_gray: bool) -> str:
    """Return what `compare` measures as text, with the verdict."""
    compared = [1] if is_gray else [0, 1, 2]  # gray has no chroma
    lost = max(row[place] - row[place + 4] for place in compared)
    verdict = f"loses {lost:.2f} dB" if lost > LARGEST_LOSS_DB else "as good"
    numbers = [f"{value:{width}.2f}" for value, width in zip(row, (9, 7, 7, 7, 9, 7, 7, 7, 8), strict=True)]
    for place in () if not is_gray else (2, 6):
        numbers[place] = " " * 7
    return "".join(numbers) + "  " + verdict


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
