"""python -m sr.upscale in.png out.png --model model.xml: an image or a folder, without a DAG.

The exit code is 0 when all is done, 1 after an error that is told in one line, 2 for a command that does not read,
and 3 when some images of a folder could not be read; they are listed.
"""

import argparse
import os
import sys
from pathlib import Path

from data.errors import UserError
from data.imaging.decode import ImageFault

REJECTED_EXIT_CODE = 3


def main(argv: list[str]) -> int:
    """Do it, and return the exit code."""
    parser = argparse.ArgumentParser("python -m sr.upscale", description="Upscale an image or a folder.")
    parser.add_argument("source", type=Path, help="an image, or a folder that is searched to the bottom")
    parser.add_argument("output", type=Path, help="the image, or the folder of the results")
    parser.add_argument("--model", required=True, help="bicubic, lanczos, .pth .safetensors .onnx .xml")
    parser.add_argument("--scale", type=int, default=2, help="of bicubic and lanczos, 2 to 8")
    parser.add_argument("--device", default="CPU", help="of .xml: CPU, GPU, NPU or AUTO")
    parser.add_argument("--quality", type=int, default=95, help="of JPEG and WebP, 1 to 100")
    parser.add_argument("--memory-mb", type=int, default=1500, help="what the size of tiles is chosen by")
    options = parser.parse_args(argv)
    try:
        return _upscale(options)
    except (UserError, OSError) as error:
        print(f"sr.upscale: {error}", file=sys.stderr)
        return 1
    except ImageFault as fault:
        print(f"sr.upscale: {options.source}: {fault}", file=sys.stderr)
        return 1


def _upscale(options: argparse.Namespace) -> int:
    from sr.runtime.upscalers import load_upscaler
    from sr.upscale.images.journal import directory_beside, placing
    from sr.upscale.images.upscale_images import check_settings, model_id, upscale_image, upscale_images

    check_settings(options.scale, options.quality, options.memory_mb)
    upscaler = load_upscaler(options.model, options.scale, device=options.device)
    if not options.source.is_dir():
        _check_files(options.source, options.output)
        upscale_image(options.source, options.output, upscaler, options.quality, options.memory_mb)
        return 0
    source, output = (Path(os.path.abspath(one)) for one in (options.source, options.output))
    directory = directory_beside(source, output, model_id(upscaler), options.quality)
    with placing(directory):
        record = upscale_images(source, output, directory, upscaler, options.quality, options.memory_mb)
    for one in record["rejections"]:
        print(f"sr.upscale: {one['id']}: {one['reason']}: {one['detail']}", file=sys.stderr)
    return REJECTED_EXIT_CODE if record["rejections"] else 0


def _check_files(source: Path, output: Path) -> None:
    known = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
    if not source.is_file():
        raise UserError("an image or a folder", "nothing", str(source), "check the path")
    if output.suffix.lower() not in known:
        raise UserError(f"a name ending in {', '.join(known)}", repr(output.name), "the output", "name one")
    if os.path.realpath(source) == os.path.realpath(output):
        raise UserError("another file than the input", str(output), "the output", "name another")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
