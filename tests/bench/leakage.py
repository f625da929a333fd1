"""Measure how many disguised copies of benchmark images are found, and how many pairs of unrelated images are confused.

    SR_SHARED=DIR python tests/bench/leakage.py [--bits 4,8,10]

Every image of DIR/images/Set14 is disguised in each of the ways below, as it might be found in a training set. A copy
is found if the hash of the original is within so many bits of one of the eight hashes of the copy. The images of kodak,
sunhays80 and photos are unrelated to Set14 and to each other: each pair of them within so many bits is a wrong match.
Set5 is left out, since one of its images is in Set14 too (and is found, 6 bits apart).
"""

import argparse
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from data.imaging.decode import decode
from pipeline.perceptual_hash import ORIENTATIONS, hash_orientations
from pipeline.selection.hamming import Hashes, parse_hashes

_UNRELATED = ("kodak", "sunhays80", "photos")
Disguise = Callable[[np.ndarray], np.ndarray]


def recompress(quality: int) -> Disguise:
    """Return a function that saves an image as JPEG and reads it again."""

    def disguise(image: np.ndarray) -> np.ndarray:
        _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return cv2.imdecode(content, cv2.IMREAD_COLOR)

    return disguise


def resize(factor: float, aspect: float = 1.0) -> Disguise:
    """Return a function that scales an image; its width by the aspect on top."""

    def disguise(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        size = (round(width * factor * aspect), round(height * factor))
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)

    return disguise


def cut(share: float) -> Disguise:
    """Return a function that keeps a part of an image: this share of both sides, from the upper left third."""

    def disguise(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        top, left = round(height * (1 - share) / 3), round(width * (1 - share) / 3)
        return image[top : top + round(height * share), left : left + round(width * share)]

    return disguise


def add_noise(sigma: float) -> Disguise:
    """Return a function that adds white noise."""

    def disguise(image: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(0).normal(0, sigma, image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)

    return disguise


def write_on(image: np.ndarray) -> np.ndarray:
    """Put a watermark over an image."""
    marked = image.copy()
    height = image.shape[0]
    cv2.putText(marked, "SAMPLE", (10, height // 2), cv2.FONT_HERSHEY_SIMPLEX, height / 120, (255,) * 3, 6)
    return cv2.addWeighted(marked, 0.6, image, 0.4, 0)


def make_collage(image: np.ndarray) -> np.ndarray:
    """Put an image beside a turned copy of itself, twice."""
    row = np.hstack((image, image[::-1, ::-1]))
    return np.vstack((row, row[:, ::-1]))


def pad(image: np.ndarray) -> np.ndarray:
    """Put black bars above and below an image."""
    return cv2.copyMakeBorder(image, image.shape[0] // 6, image.shape[0] // 6, 0, 0, cv2.BORDER_CONSTANT)


DISGUISES: dict[str, Disguise] = {
    "none": lambda image: image,
    "JPEG quality 90": recompress(90),
    "JPEG quality 50": recompress(50),
    "JPEG quality 20": recompress(20),
    "half size": resize(0.5),
    "quarter size": resize(0.25),
    "double size": resize(2),
    "5% wider": resize(1, 1.05),
    "gray": lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
    "brighter": lambda image: cv2.convertScaleAbs(image, alpha=1, beta=30),
    "more contrast": lambda image: cv2.convertScaleAbs(image, alpha=1.3, beta=-30),
    "gamma 0.7": lambda image: (255 * (image / 255.0) ** 0.7).astype(np.uint8),
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 2),
    "noise sigma 10": add_noise(10),
    "noise sigma 25": add_noise(25),
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned by 90 degrees": np.rot90,
    "turned by 180 degrees": lambda image: image[::-1, ::-1],
    "turned and mirrored, JPEG": lambda image: recompress(75)(np.rot90(image)[:, ::-1].copy()),
    "watermark": write_on,
    "cut by 5%": cut(0.95),
    "cut by 10%": cut(0.9),
    "cut by 25%": cut(0.75),
    "cut by half": cut(0.5),
    "bars": pad,
    "collage": make_collage,
}


def read_folder(folder: Path) -> list[np.ndarray]:
    """Return the images of a folder, or of its x2/HR, sorted by name."""
    folder = folder / "x2" / "HR" if (folder / "x2").is_dir() else folder
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".png", ".jpg"})
    return [decode(path.read_bytes()) for path in found]


def hash_all(images: list[np.ndarray]) -> Hashes:
    """Return the hashes of images, images x 8."""
    digits = [hash_orientations(np.ascontiguousarray(image)) for image in images]
    return parse_hashes(digits).reshape(-1, ORIENTATIONS)


def main() -> None:
    """Print the recall of each disguise, and the wrong matches."""
    parser = argparse.ArgumentParser(description="Measure how many disguised benchmark images are found.")
    parser.add_argument("--bits", default="4,8,10")
    limits = [int(bits) for bits in parser.parse_args().bits.split(",")]
    images = Path(os.environ["SR_SHARED"]) / "images"
    benchmark = read_folder(images / "Set14")
    originals = hash_all(benchmark)[:, 0]
    print(f"{len(benchmark)} images of Set14; found within bits:")
    print(f"{'disguise':28}" + "".join(f"{bits:>8}" for bits in limits))
    recalls = []
    for name, disguise in DISGUISES.items():
        copies = hash_all([disguise(image) for image in benchmark])
        bits_apart = np.bitwise_count(copies ^ originals[:, None]).min(axis=1)
        recalls.append([float((bits_apart <= bits).mean()) for bits in limits])
        print(f"{name:28}" + "".join(f"{recall:8.0%}" for recall in recalls[-1]))
    print(f"{'mean':28}" + "".join(f"{recall:8.0%}" for recall in np.mean(recalls, axis=0)))
    others = np.concatenate([hash_all(read_folder(images / name)) for name in _UNRELATED])
    everything = np.concatenate((others, hash_all(benchmark)))
    pairs = list(itertools.combinations(range(len(everything)), 2))
    apart = np.array([np.bitwise_count(everything[one] ^ everything[two, 0]).min() for one, two in pairs])
    print(f"wrong of {len(pairs)} pairs{'':11}" + "".join(f"{(apart <= bits).sum():8}" for bits in limits))
    print(f"smallest distances of unrelated pairs: {sorted(apart.tolist())[:10]}")


if __name__ == "__main__":
    main()
