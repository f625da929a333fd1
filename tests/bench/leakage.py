"""Measure how many disguised copies of benchmark images are found, and how many unrelated images are confused.

    SR_SHARED=DIR python tests/bench/leakage.py [--bits 4,8,10] [--size 512] [--only hashes|parts]

Every image of DIR/images/Set14 is disguised in each of the ways below, as it might be found in a training set. The
images of kodak, sunhays80 and photos are unrelated to Set14 and to each other. Set5 is left out, since one of its
images is in Set14 too (and is found, 6 bits apart).

First the hashes of whole images: a copy is found if the hash of the original is within so many bits of one of the eight
hashes of the copy; each pair of unrelated images within so many bits is a wrong match.

Then parts: crops of so many pixels of the disguised images, which are doubled until a crop fits, are compared with the
images of Set14 by local features, and crops of the unrelated images as well. Each step of `pipeline.selection.parts`
is a column: matches that are enough by themselves, all that is proven, and with the crops that lie in the same place.
The last column adds what the hashes find within 8 bits. Times are the processor's, of one thread.
"""

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyarrow

from data.imaging.decode import decode
from data.imaging.encode import encode_png
from pipeline.downscale import downscale_by_two
from pipeline.opencv_threads import single_threaded_opencv
from pipeline.parts.features import Features, describe_crop, describe_target, restore_features
from pipeline.parts.lookup import FeatureIndex
from pipeline.parts.match import ENOUGH_INLIERS, match_crops
from pipeline.perceptual_hash import ORIENTATIONS, hash_orientations
from pipeline.quality_metrics import rgb_to_luma
from pipeline.selection.crop_table import CropTable
from pipeline.selection.hamming import Hashes, parse_hashes
from pipeline.selection.part_matches import Found
from pipeline.selection.part_proof import prove_matches, spread_matches
from pipeline.selection.part_targets import Target

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


def cut_window(side_px: int) -> Disguise:
    """Return a function that keeps a square of this side around the center, or what there is of it."""

    def disguise(image: np.ndarray) -> np.ndarray:
        top, left = (max(0, (side - side_px) // 2) for side in image.shape[:2])
        return image[top : top + side_px, left : left + side_px]

    return disguise


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
    "window of 256 px": cut_window(256),
    "bars": pad,
    "collage": make_collage,
}


def read_each(folder: Path) -> Iterator[np.ndarray]:
    """Yield the images of a folder, or of its x2/HR, sorted by name."""
    folder = folder / "x2" / "HR" if (folder / "x2").is_dir() else folder
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".png", ".jpg"}):
        yield decode(path.read_bytes())


def read_folder(folder: Path) -> list[np.ndarray]:
    """Return the images of a folder, or of its x2/HR, sorted by name."""
    return list(read_each(folder))


def hash_all(images: list[np.ndarray]) -> Hashes:
    """Return the hashes of images, images x 8."""
    digits = [hash_orientations(np.ascontiguousarray(image)) for image in images]
    return parse_hashes(digits).reshape(-1, ORIENTATIONS)


HARD = ("collage", "watermark")
"""Disguises that the second mean includes."""
_BATCH = 64


class Crops(NamedTuple):
    """Crops of images."""

    lumas: list[np.ndarray]
    images: list[int]
    """Number of the image of each."""
    corners: list[tuple[int, int]]
    """Top and left of each in its image."""


def cut_crops(images: list[np.ndarray], side_px: int, step_px: int) -> Crops:
    """Cut images into crops, evenly, about so far from each other. Images that none fits into are doubled first."""
    crops = Crops([], [], [])
    for number, image in enumerate(images):
        luma = rgb_to_luma(np.ascontiguousarray(image))
        while min(luma.shape) < side_px:
            luma = cv2.resize(luma, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        for top, left in itertools.product(*(_starts(side, side_px, step_px) for side in luma.shape)):
            crops.lumas.append(np.ascontiguousarray(luma[top : top + side_px, left : left + side_px]))
            crops.images.append(number)
            crops.corners.append((top, left))
    return crops


def _starts(length: int, side_px: int, step_px: int) -> list[int]:
    count = -(-(length - side_px) // step_px) + 1
    return [round(place * (length - side_px) / max(1, count - 1)) for place in range(count)]


def make_table(crops: Crops, side_px: int) -> CropTable:
    """Return the crops as a selection reads them."""
    count = len(crops.lumas)
    columns = {
        "key": [f"{row:06d}" for row in range(count)],
        "split": ["train"] * count,
        "dataset": np.zeros(count, np.int16),
        "source": pyarrow.array([f"{image:06d}" for image in crops.images]).dictionary_encode(),
        "box_top": [top for top, _ in crops.corners],
        "box_left": [left for _, left in crops.corners],
        "box_height": [side_px] * count,
        "box_width": [side_px] * count,
        "downscale_factor": [1] * count,
    }
    return CropTable(pyarrow.table(columns))


class PartBench:
    """Compares crops with benchmark images, and keeps the times."""

    def __init__(self, benchmark: list[np.ndarray], side_px: int) -> None:
        self._side_px = side_px
        self._lumas = [rgb_to_luma(np.ascontiguousarray(image)) for image in benchmark]
        self._targets = [
            Target(str(number), -1, (), np.array([[0.0, 0.0, *luma.shape[::-1]]]), describe_target(luma))
            for number, luma in enumerate(self._lumas)
        ]
        self._index = FeatureIndex([one.features for one in self._targets])
        self.crops, self.describe_s, self.match_s = 0, 0.0, 0.0

    def find(self, crops: Crops) -> list[set[tuple[int, int]]]:
        """Return rows of crops with the number of the image that they are found in, after each step."""
        features = self._describe(crops.lumas)
        started = time.process_time()
        found = [
            Found(start + one.crop, one.target, one.inliers, one.similarity)
            for start in range(0, len(features), _BATCH)
            for one in match_crops(features[start : start + _BATCH], self._side_px, self._index)
        ]
        self.match_s += time.process_time() - started
        self.crops += len(features)
        table = make_table(crops, self._side_px)
        read_crop, read_benchmark = crops.lumas.__getitem__, self._lumas.__getitem__
        proven = prove_matches(found, table, self._targets, read_crop, read_benchmark)
        spread = spread_matches(proven, table, self._targets)
        return [
            {(one.row, one.target) for one in found if one.inliers >= ENOUGH_INLIERS},
            {(one.row, one.target) for one in proven},
            {(one.row, one.target) for one in spread},
        ]

    def _describe(self, lumas: list[np.ndarray]) -> list[Features]:
        started = time.process_time()
        stored = [describe_crop(luma) for luma in lumas]
        self.describe_s += time.process_time() - started
        return [restore_features(one, self._side_px) for one in stored]

    def print_times(self) -> None:
        """Print what a crop costs."""
        describe_ms, match_ms = (1000 * spent / self.crops for spent in (self.describe_s, self.match_s))
        print(
            f"{self.crops} crops, {len(self._index)} features: {describe_ms:.1f} ms to describe a crop, ",
            end="",
        )
        print(f"{match_ms:.1f} ms to match it")


def measure_parts(benchmark: list[np.ndarray], folder: Path, side_px: int) -> None:
    """Print the recall of crops of each disguise, the wrong matches, and the times."""
    bench = PartBench(benchmark, side_px)
    originals = hash_all(benchmark)[:, 0]
    print(f"\nCrops of {side_px} px; found by")
    print(f"{'disguise':28}{'crops':>8}{'enough':>8}{'proven':>8}{'place':>8}{'+ hash':>8}")
    recalls: dict[str, list[float]] = {}
    wrong = 0
    for name, disguise in DISGUISES.items():
        copies = [disguise(image) for image in benchmark]
        crops = cut_crops(copies, side_px, side_px // 2)
        hashed = np.bitwise_count(hash_all(copies) ^ originals[:, None]).min(axis=1) <= 8
        steps = bench.find(crops)
        right = [{row for row, target in step if target == crops.images[row]} for step in steps]
        wrong += len({row for row, target in steps[-1] if target != crops.images[row]})
        right.append(right[-1] | {row for row, image in enumerate(crops.images) if hashed[image]})
        recalls[name] = [len(rows) / len(crops.lumas) for rows in right]
        print(f"{name:28}{len(crops.lumas):8}" + "".join(f"{recall:8.1%}" for recall in recalls[name]))
    easy = [recall for name, recall in recalls.items() if name not in HARD]
    for label, chosen in (("mean without the last kinds", easy), ("mean of all", [*recalls.values()])):
        print(f"{label:36}" + "".join(f"{recall:8.1%}" for recall in np.mean(chosen, axis=0)))
    print(f"crops found in a wrong image of the benchmark: {wrong}")
    bench.print_times()
    unrelated = PartBench(benchmark, side_px)
    steps = [set(), set(), set()]
    for name in _UNRELATED:
        for image in read_each(folder / name):
            for crops in _each_size(image, side_px):
                steps = [all_of | one for all_of, one in zip(steps, _tag(unrelated, crops), strict=True)]
    print(f"wrong of {unrelated.crops} unrelated crops: " + ", ".join(str(len(step)) for step in steps))
    unrelated.print_times()
    measure_decoding(benchmark, side_px)


def _tag(bench: PartBench, crops: Crops) -> list[set[tuple[int, int, int]]]:
    """Return what is found, numbered through over all images."""
    before = bench.crops
    return [{(before, row, target) for row, target in step} for step in bench.find(crops)]


def _each_size(image: np.ndarray, side_px: int) -> Iterator[Crops]:
    """Yield the crops of an image as it is, halved and quartered, as far as one fits."""
    for _ in range(3):
        if min(image.shape[:2]) < side_px:
            return
        yield cut_crops([image], side_px, side_px * 3 // 4)
        image = downscale_by_two(image)


def measure_decoding(images: list[np.ndarray], side_px: int) -> None:
    """Print what decoding a crop costs on top of describing it."""
    crops = [np.ascontiguousarray(one[:side_px, :side_px]) for one in images if min(one.shape[:2]) >= side_px]
    stored = [encode_png(crop) for crop in crops]
    if stored:
        started = time.process_time()
        for content in stored:
            decode(content)
        print(f"{1000 * (time.process_time() - started) / len(stored):.1f} ms to decode a PNG")


def measure_hashes(benchmark: list[np.ndarray], folder: Path, limits: list[int]) -> None:
    """Print the recall of whole images of each disguise, and the wrong matches."""
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
    others = np.concatenate([hash_all(read_folder(folder / name)) for name in _UNRELATED])
    everything = np.concatenate((others, hash_all(benchmark)))
    pairs = list(itertools.combinations(range(len(everything)), 2))
    apart = np.array([np.bitwise_count(everything[one] ^ everything[two, 0]).min() for one, two in pairs])
    print(f"wrong of {len(pairs)} pairs{'':11}" + "".join(f"{(apart <= bits).sum():8}" for bits in limits))
    print(f"smallest distances of unrelated pairs: {sorted(apart.tolist())[:10]}")


def main() -> None:
    """Print what hashes find, then what parts find."""
    parser = argparse.ArgumentParser(description="Measure how many disguised benchmark images are found.")
    parser.add_argument("--bits", default="4,8,10")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--only", choices=("hashes", "parts"))
    arguments = parser.parse_args()
    images = Path(os.environ["SR_SHARED"]) / "images"
    benchmark = read_folder(images / "Set14")
    if arguments.only != "parts":
        measure_hashes(benchmark, images, [int(bits) for bits in arguments.bits.split(",")])
    if arguments.only != "hashes":
        with single_threaded_opencv():
            measure_parts(benchmark, images, arguments.size)


if __name__ == "__main__":
    main()
