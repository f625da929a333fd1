"""From model.onnx to an OpenVINO IR (model.xml, model.bin) in fp32, fp16 or int8, with its accuracy proved
and recorded.

Every IR is run on test images beside the network; an fp32 and an fp16 one also on photographs, an int8 one
on crops of the validation split, against the originals. One that misses its bound is not written. Never trains.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import onnx

from data.atomic_files import write_bytes, write_json
from data.errors import UserError
from data.hashing import sha256_bytes
from data.progress import Progress, silent
from sr.export import ir_file
from sr.export.accuracy import check_parity, check_photographs
from sr.export.int8 import Quantization
from sr.export.ir_graph import SensitivePlaces, find_sensitive_places
from sr.export.parity import Run
from sr.export.reference import network_run, onnx_run
from sr.export.settings import Int8Settings
from sr.models.metadata import ModelMetadata, from_strings
from sr.runtime.openvino_runtime import openvino as ov
from sr.runtime.upscalers import OpenVinoUpscaler

SCHEMA = 1
IR = "model.xml"
_FIXED = "fixed.xml"
PRECISIONS = ("fp32", "fp16", "int8")


def export_openvino(
    onnx_dir: Path,
    out_dir: Path,
    precision: str,
    calibration: Path | None = None,
    settings: Int8Settings | None = None,
    size: tuple[int, int] | None = None,
    model_dir: Path | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write model.xml, model.bin and, last, export.json.

    Input, output and metadata are those of the ONNX file (see sr.export.to_onnx); the metadata stands in the
    IR's rt_info. The upscaling of the pixels themselves stays in float32 in every form and on every device.

    Args:
        onnx_dir: with model.onnx.
        out_dir: made if missing.
        precision: fp32, fp16 (weights stored so) or int8.
        calibration: path of selection.json; for int8 only.
        settings: for int8 only; Int8Settings() where None.
        size: height and width of the one LR image that the file shall take, one at a time; None for any. Such a
            file needs no size from its caller, and devices without dynamic shapes (NPU) take no other.
        model_dir: of the network, in torch, that the IR is held to; None: it is held to the ONNX file.
        progress: told the steps.

    Returns:
        What export.json holds.

    Raises:
        UserError: unknown precision, settings that are none, no selection for int8, another model's directory, or
            the IR misses its bound; the message has the figures.
    """
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise UserError(f"a precision out of {known}", repr(precision), "the export", "name one of these")
    settings = settings or Int8Settings()
    settings.check()
    content = (onnx_dir / "model.onnx").read_bytes()
    strings = {item.key: item.value for item in onnx.load_from_string(content).metadata_props}
    metadata = dataclasses.replace(from_strings(strings, str(onnx_dir)), precision=precision)
    reference, against = onnx_run(content), "onnx fp32"
    if model_dir:
        reference, against = network_run(model_dir, metadata), "torch fp32"
    with tempfile.TemporaryDirectory() as scratch:
        model, sensitive = _convert(onnx_dir / "model.onnx", Path(scratch))
        facts: dict[str, Any] = {}
        if precision == "int8":
            quantization = Quantization(
                metadata,
                settings,
                _required(calibration),
                lambda quantized: _runnable(quantized, Path(scratch), metadata),
                reference,
            )
            model, facts = quantization.run(model, sensitive, progress)
        xml, weights = _write(model, Path(scratch) / IR, metadata)
        run = _run_of(Path(scratch) / IR)
        parity = check_parity(run, reference, metadata)
        if precision != "int8":
            facts = {"photographs": dataclasses.asdict(check_photographs(run, reference, metadata))}
        if size:
            xml, weights = _at_size(Path(scratch), metadata, size)
            fixed = check_parity(_run_of(Path(scratch) / _FIXED), reference, metadata, size)
            facts["parity_at_size"] = dataclasses.asdict(fixed)
    write_bytes(out_dir / "model.bin", weights)
    write_bytes(out_dir / "model.xml", xml)
    record = {
        **_description(metadata, size),
        "made_from": {"model.onnx": sha256_bytes(content)},
        "parity": {"against": against, **dataclasses.asdict(parity)},
        "files": {
            name: {"bytes": len(part), "sha256": sha256_bytes(part)}
            for name, part in (("model.xml", xml), ("model.bin", weights))
        },
        **facts,
    }
    write_json(out_dir / "export.json", record)
    return record


def _description(metadata: ModelMetadata, size: tuple[int, int] | None) -> dict[str, Any]:
    scale, channels = metadata.scale, metadata.channels
    lr_image, hr_image = ["n", "h", "w"], ["n", f"{scale}*h", f"{scale}*w"]
    if size:
        lr_image, hr_image = [1, *size], [1, *(scale * side for side in size)]
    return {
        "schema": SCHEMA,
        "format": "openvino",
        "precision": metadata.precision,
        "metadata": metadata.to_strings(),
        "input": {"name": "input", "type": "uint8", "shape": [*lr_image, channels]},
        "output": {"name": "output", "type": "uint8", "shape": [*hr_image, channels]},
    }


def _required(calibration: Path | None) -> Path:
    if calibration is None:
        raise UserError(
            "a selection to calibrate int8 with", "none", "the export", "name one, or export fp16"
        )
    return calibration


def _convert(path: Path, scratch: Path) -> tuple[ov.Model, SensitivePlaces]:
    """The ONNX file as an openvino.Model, its exact places marked (which only a file's text can do from
    Python).
    """
    converted = ov.convert_model(path)
    sensitive = find_sensitive_places(converted)
    marked = scratch / "converted.xml"
    ov.save_model(converted, marked, compress_to_fp16=False)
    ir_file.mark_exact(marked, sensitive.exact)
    return ov.Core().read_model(marked), sensitive


def _write(model: ov.Model, path: Path, metadata: ModelMetadata) -> tuple[bytes, bytes]:
    ov.save_model(model, path, compress_to_fp16=metadata.precision == "fp16")
    xml = ir_file.tidy(path, metadata.to_strings())
    path.write_bytes(xml)
    return xml, path.with_suffix(".bin").read_bytes()


def _at_size(scratch: Path, metadata: ModelMetadata, size: tuple[int, int]) -> tuple[bytes, bytes]:
    """The IR that was written last, for images of one size.

    Raises:
        UserError: the network cannot take that size.
    """
    multiple = metadata.size_multiple
    if any(side % multiple for side in size):
        expected = f"a height and width that are multiples of {multiple}"
        raise UserError(
            expected, "{}x{}".format(*size), "the size of the export", "choose the next larger one"
        )
    model = ov.Core().read_model(scratch / IR)
    model.reshape({"input": [1, *size, metadata.channels]})
    # Weights that were stored as fp16 are so in the model already.
    return _write(model, scratch / _FIXED, metadata)


def _runnable(model: ov.Model, scratch: Path, metadata: ModelMetadata) -> Run:
    _write(model, scratch / IR, metadata)
    return _run_of(scratch / IR)


def _run_of(path: Path) -> Run:
    """What runs an IR; what is compiled of those that are only tried would push others out of the user's cache."""
    return OpenVinoUpscaler(path, keep_compiled=False).run
