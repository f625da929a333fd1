"""Check that UpscaleImages needs less than 2 GB for an 8192x8192 image at x2, in any format.

    PYTHONPATH=tests/support python tests/faults/memory_upscale.py [--limit-mb 2000] [rgb8.png rgba16.tif ...]

Images of that size, made of texture tiles, are upscaled with the UpscaleImages command and an untrained realtime-x2 as
fp16 IR, which has the layers of a trained one. A third of each image with alpha is invisible; the lower bytes of 16-bit
images are noise. The figure is the peak resident memory of the process. The exit code is 1 if one exceeds the limit, or
if a result has the wrong size. `rgb8.webp` is 8184x8184, since a larger result could not be a WebP; it is not run by
default.
"""

import argparse
import multiprocessing
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from images import textured
from memory import peak_bytes
from PIL import Image

TILE_PX, TILES = 1024, 8
WEBP_PX = 8184
CASES = ("rgb8.png", "rgb8.jpg", "rgb8.tif", "rgba8.png", "rgba16.png", "rgb16.tif", "rgba16.tif")


def prepare(scratch: Path, cases: list[str]) -> None:
    """Make the images, each in its own folder, and the model."""
    from safetensors.torch import save_file

    from sr.export.to_onnx import export_onnx
    from sr.export.to_openvino import export_openvino
    from sr.models.checkpoint import export_checkpoint
    from sr.models.presets import find_preset
    from sr.models.registry import build_network

    tiles = [textured(seed, TILE_PX, TILE_PX) for seed in range(TILES)]
    rows = [np.hstack([tiles[(3 * row + column) % TILES] for column in range(TILES)]) for row in range(TILES)]
    whole = np.vstack(rows)
    for case in cases:
        (scratch / case).mkdir()
        cv2.imwrite(str(scratch / case / f"large{Path(case).suffix}"), make_case(whole, case))
    save_file(build_network(find_preset("realtime-x2")).core.state_dict(), scratch / "weights.safetensors")
    export_checkpoint(scratch / "weights.safetensors", scratch / "model")
    export_onnx(scratch / "model", scratch / "onnx")
    export_openvino(scratch / "onnx", scratch / "ir", "fp16")


def make_case(whole: np.ndarray, case: str) -> np.ndarray:
    """Return the image of a case, e.g. rgba16.tif."""
    image = whole[:WEBP_PX, :WEBP_PX] if case.endswith(".webp") else whole
    if case.startswith("rgba"):
        alpha = np.where(cv2.resize(whole[::64, ::64, 0], whole.shape[:2]) > 110, 255, 0).astype(np.uint8)
        image = np.dstack([image, alpha])
    if "16" not in case:
        return image
    deep = image.astype(np.uint16) * 257
    deep[:, :, :3] ^= np.random.default_rng(0).integers(0, 256, whole.shape, np.uint8)
    return deep


def peak_mb(scratch: Path, case: str) -> float:
    """Upscale the image; return the peak in megabytes, or infinity if the result has the wrong size."""
    command = [sys.executable, "-m", "luigi", "--module", "tasks", "UpscaleImages"]
    command += ["--input", str(scratch / case), "--output-dir", str(scratch / "out" / case)]
    command += ["--model", str(scratch / "ir" / "model.xml"), "--store-root", str(scratch / "store")]
    peak = peak_bytes(command) / 1e6
    result = scratch / "out" / case / f"large{Path(case).suffix}"
    with Image.open(result) as image:
        side = 2 * (WEBP_PX if case.endswith(".webp") else TILE_PX * TILES)
        is_right_size = image.size == (side, side)
        size = f"{image.size[0]}x{image.size[1]}, {result.stat().st_size / 1e6:.0f} MB"
    print(f"{case} x2: peak {peak:.0f} MB; {size}", flush=True)
    result.unlink()
    return peak if is_right_size else float("inf")


def main(argv: list[str]) -> int:
    """Run all cases, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit-mb", type=float, default=2000)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    options = parser.parse_args(argv)
    Image.MAX_IMAGE_PIXELS = None
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        scratch = Path(name)
        # In another process: a child starts with the peak memory of its parent.
        maker = multiprocessing.get_context("spawn").Process(target=prepare, args=(scratch, options.cases))
        maker.start()
        maker.join()
        peaks = [peak_mb(scratch, case) for case in options.cases]
    return int(max(peaks) > options.limit_mb)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
