"""Convert model.onnx to an OpenVINO IR (model.xml and model.bin) in fp32, fp16 or int8, and prove its accuracy.

Every IR is compared with the network on generated images; fp32 and fp16 also on photographs, int8 on held-out
crops. An IR that misses its bound is not written.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import onnx

from data.errors import UserError
from data.hashing import sha256_bytes
from data.progress import Progress, silent
from sr.export.accuracy import check_parity, check_photographs
from sr.export.int8 import Quantization
from sr.export.int8_crops import ImageSet
from sr.export.ir_scratch import FIXED, IrScratch, describe_ir, write_files
from sr.export.parity import Runner
from sr.export.reference import load_network, make_onnx_runner, make_torch_runner
from sr.export.settings import PRECISIONS, Int8Settings
from sr.models.metadata import ModelMetadata, from_strings


def export_openvino(
    onnx_dir: Path,
    out_dir: Path,
    precision: str,
    calibration: Path | ImageSet | None = None,
    settings: Int8Settings | None = None,
    size: tuple[int, int] | None = None,
    model_dir: Path | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write model.xml, model.bin and, last, export.json.

    Input, output and metadata are those of the ONNX file (see `sr.export.to_onnx`). Operations on pixel values stay
    float32 in every precision and on every device.

    Args:
        onnx_dir: with model.onnx.
        out_dir: created if missing.
        precision: fp32, fp16 (weights are stored as fp16) or int8.
        calibration: for int8: path of selection.json, or images; None: the photographs in the box.
        settings: for int8; None: the defaults.
        size: the only input height and width that the IR will accept, one image at a time; None: any. NPUs need it.
        model_dir: the network to compare with, and to fine-tune; None: the ONNX file.
        progress: counts quantizations.

    Returns:
        The content of export.json.

    Raises:
        UserError: an argument is invalid, `model_dir` is another model, or the IR misses its bound.
    """
    settings = settings or Int8Settings()
    settings.check()
    content = (onnx_dir / "model.onnx").read_bytes()
    metadata = _read_metadata(content, onnx_dir, precision)
    _check_size(size, metadata.size_multiple)
    network = load_network(model_dir, metadata) if model_dir else None
    reference = make_torch_runner(network) if network else make_onnx_runner(content)
    quantization = None
    if precision == "int8":
        quantization = Quantization(metadata, settings, calibration, reference, network)
    files, facts = _make_ir(onnx_dir / "model.onnx", metadata, reference, quantization, size, progress)
    facts["parity"] = {"against": "torch fp32" if network else "onnx fp32", **facts["parity"]}
    record = {**describe_ir(metadata, size), "made_from": {"model.onnx": sha256_bytes(content)}, **facts}
    return write_files(out_dir, files, record)


def _make_ir(
    onnx_path: Path,
    metadata: ModelMetadata,
    reference: Runner,
    quantization: Quantization | None,
    size: tuple[int, int] | None,
    progress: Progress,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Convert, quantize for int8, and check the result.

    Returns:
        The files by name, and the figures for export.json.

    Raises:
        UserError: the IR misses its bound.
    """
    with tempfile.TemporaryDirectory() as directory:
        scratch = IrScratch(Path(directory), metadata)
        model, sensitive = scratch.convert(onnx_path)
        facts: dict[str, Any] = {}
        if quantization:
            model, facts = quantization.run(model, sensitive, scratch.write_and_run, progress)
        files = scratch.write(model)
        run = scratch.make_runner()
        facts["parity"] = dataclasses.asdict(check_parity(run, reference, metadata))
        if not quantization:
            facts["photographs"] = dataclasses.asdict(check_photographs(run, reference, metadata))
        if size:
            files = scratch.write_fixed(size)
            fixed = check_parity(scratch.make_runner(FIXED), reference, metadata, size)
            facts["parity_at_size"] = dataclasses.asdict(fixed)
    return files, facts


def _read_metadata(content: bytes, onnx_dir: Path, precision: str) -> ModelMetadata:
    if precision not in PRECISIONS:
        raise UserError(f"Cannot export precision {precision!r}", f"Choose one of: {', '.join(PRECISIONS)}")
    strings = {item.key: item.value for item in onnx.load_from_string(content).metadata_props}
    return dataclasses.replace(from_strings(strings, str(onnx_dir)), precision=precision)


def _check_size(size: tuple[int, int] | None, multiple: int) -> None:
    if size and any(side % multiple for side in size):
        raise UserError(
            f"The size must be multiples of {multiple}, got {size[0]}x{size[1]} (height x width)",
            "Choose the next larger size",
        )
