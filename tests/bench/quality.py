"""Measure which damaged crops the quality filters reject, how many clean ones, and how long the metrics take.

    SR_SHARED=DIR python tests/bench/quality.py [--crops 4] [--only "upscaled by 2"] [--network weights.pth]

Regions of the photographs in DIR/images/photos (JPEG, so at half size) and of DIR/images/kodak are damaged in each of
the ways below and cropped to 512 x 512 pixels. A damage is caught if any filter rejects the crop with the thresholds of
[crops]; the AUC is that of the metric beside it. The thresholds were chosen on the photographs; Kodak checks
them; the photographs that scikit-image brings are a third set. Regions that the filter for contrast rejects undamaged
are left out and counted. The images of sunhays80 were JPEGs before.

With --network the crops are also upscaled by a network, which takes minutes. Times are CPU times. The exit code is 1 if
less is caught, or more clean crops are rejected, than MUST says.
"""

import argparse
import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

from data.hashing import generator
from data.imaging.decode import decode
from data.imaging.encode import encode_png
from data.processes.heap import keep_freed_memory
from pipeline.downscale import downscale_by_two
from pipeline.quality_filters import find_rejection
from pipeline.quality_metrics import measure_quality, rgb_to_luma
from tasks.crops import pack_settings

CROP_PX, REGION_PX = 512, 544
Damage = Callable[[np.ndarray], np.ndarray]
Metrics = dict[str, float]
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "Lanczos": Image.Resampling.LANCZOS,
}
_CONTENT = ("flat",)
_CLEAN = ("photos", "kodak")
"""Sets whose images have nothing wrong with them. Of both together `MAX_CLEAN_REJECTED` may be rejected."""
MUST = {"upscaled by 2": 0.95, "upscaled by 4": 0.95, "JPEG 20": 0.9, "JPEG 50": 0.9, "noise 20": 0.9}
"""Least share of the crops of a table to catch, of each damage whose name begins so."""
MAX_CLEAN_REJECTED = 0.02


class Set(NamedTuple):
    """Regions of images of one folder."""

    name: str
    regions: list[np.ndarray]
    """uint8, up to 544 x 544 x 3."""
    empty: int
    """How many more have too little contrast or sharpness."""


def upscale(factor: float, filter_name: str) -> Damage:
    """Return a function that upscales the upper left of an image to the size of a region."""

    def damage(image: np.ndarray) -> np.ndarray:
        side = min(round(REGION_PX / factor), *image.shape[:2])
        part = Image.fromarray(np.ascontiguousarray(image[:side, :side]))
        size = (round(side * factor),) * 2
        return np.asarray(part.resize(size, _FILTERS[filter_name]))

    return damage


def recompress(quality: int) -> Damage:
    """Return a function that saves an image as JPEG and reads it again."""

    def damage(image: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return damage


def add_noise(sigma: float) -> Damage:
    """Return a function that adds white noise to each channel."""

    def damage(image: np.ndarray) -> np.ndarray:
        noise = generator("noise", sigma, image[:8, :8].tobytes().hex()).normal(0, sigma, image.shape)
        return np.clip(image + noise, 0, 255).round().astype(np.uint8)

    return damage


def blur(sigma: float) -> Damage:
    """Return a function that blurs."""
    return lambda image: cv2.GaussianBlur(image, (0, 0), sigma)


def defocus(radius: int) -> Damage:
    """Return a function that blurs with a disk."""
    disk = (np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius + 0.3).astype(
        np.float32
    )
    return lambda image: cv2.filter2D(image, -1, disk / disk.sum())


def weave(motion_px: int) -> Damage:
    """Return a function that interlaces an image with one that has moved on."""

    def damage(image: np.ndarray) -> np.ndarray:
        woven = image.copy()
        woven[1::2] = np.roll(image, motion_px, axis=1)[1::2]
        return woven

    return damage


def pixelate(block_px: int) -> Damage:
    """Return a function that makes a mosaic."""

    def damage(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[0] // block_px, image.shape[1] // block_px
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        whole = cv2.resize(small, (width * block_px, height * block_px), interpolation=cv2.INTER_NEAREST)
        rest = image.shape[0] - whole.shape[0], image.shape[1] - whole.shape[1]
        return cv2.copyMakeBorder(whole, 0, rest[0], 0, rest[1], cv2.BORDER_REPLICATE)

    return damage


def posterize(levels: int) -> Damage:
    """Return a function that blurs, so that there are gradients, and leaves so many levels."""
    step = 256 // levels
    return lambda image: cv2.GaussianBlur(image, (0, 0), 8) // step * step


def write_text(paper: int, ink: int) -> Damage:
    """Return a function that replaces an image by a page of text."""

    def damage(image: np.ndarray) -> np.ndarray:
        random = generator("text", paper, image[:8, :8].tobytes().hex())
        page = Image.new("RGB", image.shape[1::-1], (paper,) * 3)
        size = int(random.integers(11, 22))
        font, draw = ImageFont.load_default(size), ImageDraw.Draw(page)
        for y in range(8, image.shape[0], round(1.4 * size)):
            letters = random.integers(97, 123, (20, 6))
            words = ("".join(map(chr, word[: random.integers(2, 7)])) for word in letters.tolist())
            draw.text((8, y), " ".join(words), (ink,) * 3, font=font)
        return np.asarray(page)

    return damage


def frame(width_px: int, level: int, sides: str) -> Damage:
    """Return a function that puts a border at the top, or at all sides."""

    def damage(image: np.ndarray) -> np.ndarray:
        framed, margin_px = image.copy(), width_px + REGION_PX - CROP_PX
        framed[:margin_px] = level
        if sides == "all":
            framed[-margin_px:] = framed[:, :margin_px] = framed[:, -margin_px:] = level
        return framed

    return damage


def darken(divisor: int) -> Damage:
    """Return a function that makes a dark scene: it is to pass."""
    return lambda image: (image // divisor).astype(np.uint8)


def network(weights: str) -> Damage:
    """Return a function that upscales by a network. It is slow, so only a quarter of a crop is made and tiled."""
    from sr.runtime.load import load_upscaler

    model = load_upscaler(weights)

    def damage(image: np.ndarray) -> np.ndarray:
        side = CROP_PX // 2 // model.scale + 4
        return np.asarray(model(np.ascontiguousarray(image[:side, :side])))

    return damage


DAMAGES: dict[str, tuple[str, Damage]] = {
    **{
        f"upscaled by {factor:g}, {name}": (
            "repeated_lines" if name == "nearest" else "high_band_db",
            upscale(factor, name),
        )
        for factor in (1.5, 2.0, 4.0)
        for name in _FILTERS
    },
    **{f"JPEG {quality}": ("bhi_blockiness", recompress(quality)) for quality in (20, 30, 50, 65, 75, 90)},
    **{f"blur sigma {sigma:g}": ("high_band_db", blur(sigma)) for sigma in (1.0, 2.0, 3.0)},
    **{f"defocus radius {radius}": ("high_band_db", defocus(radius)) for radius in (2, 5)},
    **{f"noise {sigma}": ("noise", add_noise(sigma)) for sigma in (5, 10, 20, 30)},
    **{f"comb of {motion_px} px": ("comb_db", weave(motion_px)) for motion_px in (1, 2, 4, 8)},
    **{f"mosaic of {px} px": ("repeated_lines", pixelate(px)) for px in (2, 3, 4, 8, 16)},
    **{f"{levels} levels": ("banding", posterize(levels)) for levels in (16, 32, 64)},
    "text, black on white": ("equal_neighbors", write_text(255, 20)),
    "text, white on black": ("equal_neighbors", write_text(32, 205)),
    "black bar of 16 px": ("border_px", frame(16, 0, "top")),
    "white frame of 20 px": ("border_px", frame(20, 255, "all")),
    "dark scene, 1/4 (to pass)": ("underexposed", darken(4)),
    "dark scene, 1/8 (to pass)": ("underexposed", darken(8)),
}


def read_set(name: str, files: Iterable[Path], crops: int) -> Set:
    """Return `crops` regions of each image; JPEGs are halved, as MakeCrops does."""
    regions, empty = [], 0
    for path in files:
        image = decode(path.read_bytes())
        image = downscale_by_two(image) if path.suffix == ".jpg" else image
        if min(image.shape[:2]) < CROP_PX:
            continue
        random = generator("region", path.name)
        for _ in range(crops):
            sides = [min(REGION_PX, side) for side in image.shape[:2]]
            top, left = (
                int(random.integers(whole - side + 1))
                for whole, side in zip(image.shape[:2], sides, strict=True)
            )
            region = np.ascontiguousarray(image[top : top + sides[0], left : left + sides[1]])
            reason = reject(measure_crop(region, 0))
            if reason in _CONTENT:
                empty += 1
            else:
                regions.append(region)
    return Set(name, regions, empty)


def list_images(folder: Path) -> list[Path]:
    """Return the PNGs and JPEGs of a folder."""
    return sorted(path for path in folder.iterdir() if path.suffix in {".png", ".jpg"})


def list_other_photographs() -> list[Path]:
    """Return the photographs of 512 pixels and more, whatever they show, that scikit-image brings with it."""
    names = "astronaut.png brick.png camera.png grass.png gravel.png hubble_deep_field.jpg ihc.png moon.png retina.jpg"
    return [Path(skimage.data.__file__).with_name(name) for name in names.split()]


def measure_crop(image: np.ndarray, number: int) -> Metrics:
    """Return the metrics of a crop of a damaged region, at a place that is on no grid of blocks."""
    size = min(CROP_PX, *image.shape[:2])
    random = generator("place", number)
    top, left = (int(random.integers(side - size + 1)) for side in image.shape[:2])
    luma = rgb_to_luma(np.ascontiguousarray(image[top : top + size, left : left + size]))
    return measure_quality(luma, downscale_by_two(luma), top, left)


def reject(metrics: Metrics) -> str:
    """Return the reason why a crop is rejected, or nothing."""
    rejection = find_rejection(metrics, pack_settings().thresholds)
    return rejection[0].value if rejection else ""


def auc(clean: list[Metrics], damaged: list[Metrics], metric: str) -> float:
    """Return the chance that a metric ranks a damaged crop above a clean one; 0.5 is none."""
    sign = -1 if metric == "high_band_db" else 1
    first, second = (sign * np.array([one[metric] for one in each]) for each in (clean, damaged))
    above = (second[:, None] > first).mean() + (second[:, None] == first).mean() / 2
    return float(above)


def print_table(sets: list[Set], damages: dict[str, tuple[str, Damage]]) -> Iterator[str]:
    """Print a row for each damage, and yield what is not as it must be."""
    clean = [[measure_crop(region, number) for number, region in enumerate(one.regions)] for one in sets]
    crops = rejected = 0
    for one, metrics in zip(sets, clean, strict=True):
        reasons = list(filter(None, map(reject, metrics)))
        print(f"{one.name}: {len(metrics)} crops ({one.empty} empty ones left out), rejected: {reasons}")
        if one.name in _CLEAN:
            crops, rejected = crops + len(metrics), rejected + len(reasons)
    if rejected > MAX_CLEAN_REJECTED * crops:
        yield f"{rejected} of {crops} clean crops of {' and '.join(_CLEAN)} are rejected"
    names = " | ".join(f"{one.name}: caught | AUC" for one in sets)
    print(f"| damage | metric | {names} |\n|---|---|{'---|---|' * len(sets)}")
    for name, (metric, damage) in damages.items():
        cells, of_all = [], list[bool]()
        for one, of_clean in zip(sets, clean, strict=True):
            damaged = [measure_crop(damage(region), number) for number, region in enumerate(one.regions)]
            caught = [bool(reject(metrics)) for metrics in damaged]
            cells += [f"{statistics.mean(caught):.0%}", f"{auc(of_clean, damaged, metric):.3f}"]
            of_all += caught
        least = next((share for start, share in MUST.items() if name.startswith(start)), 0.0)
        if statistics.mean(of_all) < least:
            yield f"{name}: {sum(of_all)} of {len(of_all)} crops are caught, fewer than {least:.0%}"
        print(f"| {name} | `{metric}` | {' | '.join(cells)} |", flush=True)


def print_times(regions: Iterable[np.ndarray]) -> None:
    """Print the median CPU time of the metrics of a crop, and of its encoding."""
    times: dict[str, list[float]] = {"metrics": [], "PNG": []}
    for region in regions:
        crop = np.ascontiguousarray(region[:CROP_PX, :CROP_PX])
        start = time.process_time()
        luma = rgb_to_luma(crop)
        measure_quality(luma, downscale_by_two(luma), 3, 5)
        middle = time.process_time()
        encode_png(crop, "fast")
        times["metrics"].append(middle - start)
        times["PNG"].append(time.process_time() - middle)
    for name, seconds in times.items():
        print(
            f"{name}: {1000 * statistics.median(seconds):.2f} ms a crop, at best {1000 * min(seconds):.2f} ms"
        )


def main() -> None:
    """Print the table and the times."""
    parser = argparse.ArgumentParser(description="Measure which damaged crops the quality filters reject.")
    parser.add_argument("--crops", type=int, default=4, help="regions of each image")
    parser.add_argument("--only", default="", help="only damages whose name has this text")
    parser.add_argument(
        "--network", default="", help="weights of a network that upscales by 2, as another damage"
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    keep_freed_memory()  # as packing does
    images = Path(os.environ["SR_SHARED"]) / "images"
    sets = [
        read_set("photos", list_images(images / "photos"), options.crops),
        read_set("kodak", list_images(images / "kodak"), min(2, options.crops)),
    ]
    damages = {name: damage for name, damage in DAMAGES.items() if options.only in name}
    if options.network:
        damages["upscaled by 2, a network"] = "high_band_db", network(options.network)
    failures = list(print_table(sets, damages))
    others = {"sunhays80": list_images(images / "sunhays80"), "scikit-image": list_other_photographs()}
    list(print_table([read_set(name, files, 1) for name, files in others.items()], {}))
    print_times(region for one in sets for region in one.regions)
    print("\n".join(failures) or "As it must be.")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
