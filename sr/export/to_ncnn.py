"""Export a model directory to ncnn, for Upscayl, realesrgan-ncnn-vulkan and other programs that run ncnn's files.

pnnx converts the network; then the blobs get the names that these programs call, and networks of cells get a layer that
completes an odd side, since the programs cut images into tiles of any size. One input `data`, 3 x h x w, and one output
`output`, 3 x scale·h x scale·w: float RGB, 0 to 1, clamped.
"""

import dataclasses
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.atomic_files import read_json, write_bytes, write_json
from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from data.hashing import sha256_bytes
from sr.export.ncnn_param import INPUT, OUTPUT, conversion_error, finish_param
from sr.export.parity import ImageBatch, Parity, Runner, compare_outputs, make_test_batches, make_test_image
from sr.export.reference import check_half, make_torch_runner
from sr.export.settings import NCNN_PRECISIONS
from sr.export.to_interchange import MAX_LEVEL_DIFFERENCE, InterchangeInterface, build_interface
from sr.models.checkpoint import load_model
from sr.models.metadata import ModelMetadata, from_model_json
from sr.models.network import SuperResolutionNetwork
from sr.models.receptive_field import halo_px

SCHEMA = 1
_ODD_SIZE = (37, 51)


def file_names(scale: int) -> tuple[str, str]:
    """Return the names of the two files; Upscayl reads the scale from them."""
    return f"model-x{scale}.param", f"model-x{scale}.bin"


def export_ncnn(model_dir: Path, out_dir: Path, precision: str = "fp32") -> dict[str, Any]:
    """Write the .param and the .bin file and, last, export.json. Equal models give equal bytes.

    Args:
        model_dir: with model.safetensors and model.json.
        out_dir: created if missing.
        precision: of the weights in the file: fp32 or fp16.

    Returns:
        The content of export.json.

    Raises:
        UserError: the network needs sizes of a multiple that these programs do not keep, pnnx cannot convert it, or the
            result does not compute what the network computes.
    """
    if precision not in NCNN_PRECISIONS:
        raise UserError(
            f"Cannot export ncnn in {precision!r}", f"Choose one of: {', '.join(NCNN_PRECISIONS)}"
        )
    loaded = load_model(model_dir).eval().float()
    check_half(loaded, precision)
    _check_sizes(loaded)
    metadata = from_model_json(read_json(model_dir / "model.json"))
    metadata = dataclasses.replace(metadata, halo_px=halo_px(loaded.core), precision=precision, layout="NCHW")
    reference, interface = build_interface(loaded)
    with tempfile.TemporaryDirectory() as scratch:
        param, weights = _convert(interface, metadata, Path(scratch))
    text = finish_param(param, metadata)
    parity = _check(text, weights, make_torch_runner(reference), metadata)
    files = dict(zip(file_names(metadata.scale), (text.encode(), weights), strict=True))
    for name, content in files.items():
        write_bytes(out_dir / name, content)
    record = _describe(metadata, parity, files)
    write_json(out_dir / "export.json", record)
    return record


def _check_sizes(network: SuperResolutionNetwork) -> None:
    """Check that a network takes images of any size, or of cells that a layer can complete.

    Raises:
        UserError: it does not.
    """
    name = network.description.preset or network.description.architecture
    if network.description.architecture != "realtime" and network.size_multiple > 1:
        raise UserError(
            f"The network {name} takes sides of a multiple of {network.size_multiple} px only, and programs on ncnn "
            "give it tiles of any size",
            "Use ExportOnnx --signature interchange",
        )


def _convert(interface: InterchangeInterface, metadata: ModelMetadata, folder: Path) -> tuple[str, bytes]:
    """Convert a module by pnnx; return the text of the .param file and the .bin file.

    Raises:
        UserError: pnnx is not installed, or cannot convert it.
    """
    pnnx, multiple = _find_pnnx(), metadata.size_multiple
    sizes = [[1, 3, 24 * multiple, 16 * multiple], [1, 3, 32 * multiple, 40 * multiple]]
    try:
        with torch.inference_mode():
            traced = torch.jit.trace(interface.eval(), torch.zeros(sizes[0]))  # type: ignore[no-untyped-call]
            torch.jit.save(traced, str(folder / "net.pt"))
    except Exception as error:  # whatever a network of others does that cannot be traced
        raise_if_exhausted(error)
        raise conversion_error(metadata, " ".join(str(error).split())[:300]) from error
    shapes = [f"[{','.join(map(str, size))}]f32" for size in sizes]
    command = [pnnx, "net.pt", f"inputshape={shapes[0]}", f"inputshape2={shapes[1]}", "device=cpu"]
    ended = subprocess.run(
        [*command, f"fp16={int(metadata.precision == 'fp16')}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    made = folder / "net.ncnn.param", folder / "net.ncnn.bin"
    if ended.returncode or not all(path.is_file() for path in made):
        last = (ended.stdout.strip().splitlines() or ["it says nothing"])[-1]
        raise conversion_error(metadata, f"pnnx ended with {ended.returncode}: {last[:200]}")
    return made[0].read_text(), made[1].read_bytes()


def _find_pnnx() -> str:
    """Return the path of pnnx's program.

    Raises:
        UserError: it is not installed.
    """
    try:
        import ncnn  # noqa: F401
        import pnnx
    except ImportError as error:
        hint = "Run: pip install 'super-resolution-factory[ncnn]'"
        raise UserError(f"ExportNcnn needs {error.name}, not installed here", hint) from None
    return str(pnnx.EXEC_PATH)


def _check(text: str, weights: bytes, reference: Runner, metadata: ModelMetadata) -> dict[str, Any]:
    """Compare the files, run by ncnn, with the network in torch; return the figures for export.json.

    Raises:
        UserError: they differ.
    """
    batches = [*make_test_batches(metadata.size_multiple), make_test_image(*_ODD_SIZE)]
    bound = MAX_LEVEL_DIFFERENCE[metadata.precision]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "net.param").write_text(text)
        (folder / "net.bin").write_bytes(weights)
        run = make_ncnn_runner(folder / "net.param", folder / "net.bin", metadata.precision)
        try:
            parity = compare_outputs(run, _complete(reference, metadata), batches)
        except ValueError as error:  # a size that stayed in the graph
            raise conversion_error(metadata, f"it keeps a size: {error}") from None
    if parity.max_level_difference > bound:
        raise _difference_error(parity, metadata, bound)
    return {"against": "torch fp32", "bound_levels": bound, **dataclasses.asdict(parity)}


def _difference_error(parity: Parity, metadata: ModelMetadata, bound: int) -> UserError:
    return UserError(
        f"The ncnn files in {metadata.precision} differ from the network by up to {parity.max_level_difference} "
        f"levels; allowed are {bound}",
        "Export with --precision fp32"
        if metadata.precision == "fp16"
        else "Use ExportOnnx --signature interchange",
    )


def _complete(reference: Runner, metadata: ModelMetadata) -> Runner:
    """Return a function that runs a network on images of any size: padded by repeating the edge, and cut."""
    scale, multiple = metadata.scale, metadata.size_multiple

    def run(lr_image: ImageBatch) -> ImageBatch:
        height, width = lr_image.shape[1:3]
        padded = np.pad(
            lr_image, ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)), mode="edge"
        )
        return reference(padded)[:, : height * scale, : width * scale]

    return run


def make_ncnn_runner(param: Path, weights: Path, precision: str = "fp32") -> Runner:
    """Return a function that runs ncnn's files on uint8 NHWC, one image after the other, on the CPU.

    Raises:
        UserError: ncnn cannot load them.
    """
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = 1  # its threads wait for each other by spinning
    if precision == "fp32":
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(str(param)) or net.load_model(str(weights)):
        raise UserError(f"ncnn cannot load {param} and {weights.name}", "Export the model again")

    def run(lr_image: ImageBatch) -> ImageBatch:
        outputs = []
        for one in lr_image:
            values = np.ascontiguousarray(one.transpose(2, 0, 1).astype(np.float32) / 255)
            extractor = net.create_extractor()
            extractor.input(INPUT, ncnn.Mat(values).clone())  # ncnn writes into its input
            failed, output = extractor.extract(OUTPUT)
            if failed:
                raise UserError(f"ncnn cannot run {param}", "Export the model again")
            outputs.append(np.array(output))
        levels = np.stack(outputs).transpose(0, 2, 3, 1) * 255
        hr_image: ImageBatch = levels.round().clip(0, 255).astype(np.uint8)
        return hr_image

    return run


def _describe(metadata: ModelMetadata, parity: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    """Return the content of export.json."""
    import ncnn
    import pnnx

    scale, strings = metadata.scale, metadata.to_strings()
    return {
        "schema": SCHEMA,
        "format": "ncnn",
        "precision": metadata.precision,
        "metadata": {name: strings[name] for name in strings if name != "schema"},
        "input": {"name": INPUT, "type": "float32", "shape": [3, "h", "w"]},
        "output": {"name": OUTPUT, "type": "float32", "shape": [3, f"{scale}*h", f"{scale}*w"]},
        "made_with": {"ncnn": ncnn.__version__, "pnnx": pnnx.__version__},
        "parity": parity,
        "files": {
            name: {"bytes": len(content), "sha256": sha256_bytes(content)} for name, content in files.items()
        },
    }
