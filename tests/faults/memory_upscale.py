"""Show that UpscaleImages needs less than 2 GB for one 8192x8192 picture at x2.

    PYTHONPATH=tests/support python tests/faults/memory_upscale.py [--limit-mb 2000] [--suffix .png]

A picture of that size, of tiles of texture, is enlarged by the command that people use, with an untrained realtime-x2
as fp16 IR: the layers are those of a trained one. The figure is the peak resident memory of the process. The exit code
is 1 where it is over the limit, or the result has another size.
"""

import argparse
import multiprocessing
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from memory import peak_bytes
from pictures import textured
from PIL import Image

TILE_PX, TILES = 1024, 8


def prepare(scratch: Path, suffix: str) -> None:
    """Make the picture and the model."""
    from safetensors.torch import save_file

    from sr.checkpoint import export_checkpoint
    from sr.export.to_onnx import export_onnx
    from sr.export.to_openvino import export_openvino
    from sr.models.presets import find_preset
    from sr.models.registry import build_from

    tiles = [textured(seed, TILE_PX, TILE_PX) for seed in range(TILES)]
    rows = [np.hstack([tiles[(3 * row + column) % TILES] for column in range(TILES)]) for row in range(TILES)]
    (scratch / "in").mkdir()
    cv2.imwrite(str(scratch / "in" / f"large{suffix}"), np.vstack(rows))
    save_file(build_from(find_preset("realtime-x2")).core.state_dict(), scratch / "weights.safetensors")
    export_checkpoint(scratch / "weights.safetensors", scratch / "model")
    export_onnx(scratch / "model", scratch / "onnx")
    export_openvino(scratch / "onnx", scratch / "ir", "fp16")


def main(argv: list[str]) -> int:
    """Do it, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit-mb", type=float, default=2000)
    parser.add_argument("--suffix", default=".png", help=".png, .jpg or .tif")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        scratch = Path(name)
        # In another process: what is started counts what its starter held as its own.
        maker = multiprocessing.get_context("spawn").Process(target=prepare, args=(scratch, options.suffix))
        maker.start()
        maker.join()
        command = [sys.executable, "-m", "luigi", "--module", "tasks", "UpscaleImages"]
        command += ["--input", str(scratch / "in"), "--output-dir", str(scratch / "out")]
        command += ["--model", str(scratch / "ir" / "model.xml"), "--store-root", str(scratch / "store")]
        peak_mb = peak_bytes(command) / 1e6
        result = scratch / "out" / f"large{options.suffix}"
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(result) as image:
            size = image.size
        print(f"8192x8192 {options.suffix} x2: peak {peak_mb:.0f} MB, limit {options.limit_mb:.0f} MB")
        print(f"{size[0]}x{size[1]}, {result.stat().st_size / 1e6:.0f} MB")
    return int(peak_mb > options.limit_mb or size != (16384, 16384))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
