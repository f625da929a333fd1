"""Upscale an image or a folder of images: python -m sr.upscale in.png out.png.

Needs no Luigi. The exit code is 0 on success, 1 after an error (one line on stderr), 2 for wrong arguments, and 3 if
some images of a folder were rejected (they are listed on stderr, as are warnings).
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

from data.catalog.spec import VIDEO_SUFFIXES
from data.errors import UserError
from data.exhaustion import explain_exhaustion
from data.file_names import escape_name, find_name_fault, is_file, is_folder
from data.imaging.decode import ImageFault
from data.imaging.image_warnings import collect_warnings
from data.processes.rust_panics import limit_rust_panics
from sr.models.box import BOX_MODELS, DEFAULT_MODEL

REJECTED_EXIT_CODE = 3
_OUTPUT_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".tif", ".tiff")


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: the arguments, without the program's name.

    Returns:
        The exit code.
    """
    options = _parse(argv)
    limit_rust_panics()
    try:
        return _upscale(options)
    except (UserError, OSError, MemoryError) as error:
        explained = explain_exhaustion(error, f"upscaling {options.source}")
        print(escape_name(f"sr.upscale: {explained}"), file=sys.stderr)
    except ImageFault as fault:
        print(escape_name(f"sr.upscale: {options.source}: {fault}"), file=sys.stderr)
    return 1


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m sr.upscale",
        description="Upscale an image or a folder of images.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("source", type=Path, help="an image, or a folder, which is searched recursively")
    parser.add_argument("output", type=Path, help="the file or folder to write")
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help=f"{', '.join(BOX_MODELS)}, bicubic, lanczos, a .pth, .safetensors, .onnx or .xml file, or a model "
        "directory",
    )
    parser.add_argument(
        "--scale",
        type=int,
        default=argparse.SUPPRESS,
        help="for bicubic and lanczos, 2 to 8 (default: 2); a network has its own",
    )
    parser.add_argument(
        "--device",
        default="",
        help="for .xml models and those in the box: CPU, GPU, NPU or AUTO (default: CPU); for weights: CPU, CUDA or "
        "AUTO (default: CUDA, if there is one)",
    )
    parser.add_argument("--quality", type=int, default=95, help="of JPEG and WebP output, 1 to 100")
    parser.add_argument(
        "--memory-mb", type=int, default=1500, help="memory budget in MB; it sets the tile size"
    )
    return parser.parse_args(argv)


def _upscale(options: argparse.Namespace) -> int:
    from sr.upscale.images.journal import choose_journal_directory, explain_output_errors
    from sr.upscale.images.output_folder import check_folder_is_writable
    from sr.upscale.images.upscale_image import upscale_image
    from sr.upscale.images.upscale_images import check_settings, identify_model, upscale_images
    from sr.upscale.load import open_upscaler

    scale = getattr(options, "scale", 2)
    check_settings(scale, options.quality, options.memory_mb)
    takes_folder = is_folder(options.source)
    if not takes_folder:
        _check_files(options.source, options.output)
    output = Path(os.path.abspath(options.output))
    check_folder_is_writable(output if takes_folder else output.parent)
    upscaler = open_upscaler(options.model, scale, device=options.device)
    if upscaler.scale != getattr(options, "scale", upscaler.scale):
        raise UserError(
            f"--scale is {scale}, but the model {options.model} upscales by {upscaler.scale}",
            "Leave --scale away, or choose another model",
        )
    if not takes_folder:
        with collect_warnings() as warnings:
            upscale_image(options.source, options.output, upscaler, options.quality, options.memory_mb)
        for reason, detail in warnings.items():
            print(escape_name(f"sr.upscale: {options.source}: {reason}: {detail}"), file=sys.stderr)
        return 0
    source = Path(os.path.abspath(options.source))
    directory = choose_journal_directory(source, output, identify_model(upscaler), options.quality)
    with explain_output_errors(directory):
        record = upscale_images(source, output, directory, upscaler, options.quality, options.memory_mb)
    for one in record["rejections"] + record["warnings"]:
        print(escape_name(f"sr.upscale: {one['id']}: {one['reason']}: {one['detail']}"), file=sys.stderr)
    return REJECTED_EXIT_CODE if record["rejections"] else 0


def _check_files(source: Path, output: Path) -> None:
    if not is_file(source):
        raise UserError(f"The image {source} does not exist", "Check the path")
    if source.name.lower().endswith(VIDEO_SUFFIXES):
        raise UserError(
            f"{source} is a video, and this command upscales images",
            f"Use sr-factory UpscaleVideo --input {shlex.quote(str(source))} --output-file FILE.mkv",
        )
    if fault := find_name_fault(Path(os.path.abspath(output))):
        raise UserError(f"The output {output} would have {fault}", "Choose a shorter one")
    if is_folder(output):
        raise UserError(
            f"The output {output} is a folder", f"Give the name of a file, as {output / source.name}"
        )
    if output.suffix.lower() not in _OUTPUT_SUFFIXES:
        raise UserError(
            f"The output {output.name!r} has no supported suffix", f"Use one of {', '.join(_OUTPUT_SUFFIXES)}"
        )
    if os.path.realpath(source) == os.path.realpath(output):
        raise UserError(f"The output {output} is the input", "Choose another output file")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
