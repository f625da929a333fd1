"""Convert an ONNX file to an IR, write it, and run what was written. It loads neither torch nor NNCF."""

from pathlib import Path
from typing import Any

from data.atomic_files import write_bytes, write_json
from data.hashing import sha256_bytes
from sr.export import ir_file
from sr.export.ir_graph import SensitiveOperations, find_sensitive_ends, find_sensitive_operations
from sr.export.parity import Runner
from sr.models.metadata import ModelMetadata
from sr.models.presets import ARCHITECTURE_NAMES
from sr.runtime.network_upscalers import OpenVinoUpscaler
from sr.runtime.openvino_runtime import openvino as ov

SCHEMA = 2
IR = "model.xml"
FIXED = "fixed.xml"


class IrScratch:
    """A temporary directory in which IRs of one model are written and run."""

    def __init__(self, directory: Path, metadata: ModelMetadata) -> None:
        self._directory, self._metadata = directory, metadata

    def convert(self, onnx_path: Path) -> tuple[ov.Model, SensitiveOperations]:
        """Convert an ONNX file, and mark the operations that need full precision.

        The marks go through a file: OpenVINO's Python API cannot set them on a model.
        """
        converted = ov.convert_model(onnx_path)
        is_ours = self._metadata.architecture in ARCHITECTURE_NAMES
        sensitive = (find_sensitive_operations if is_ours else find_sensitive_ends)(converted)
        marked = self._directory / "converted.xml"
        ov.save_model(converted, marked, compress_to_fp16=False)
        ir_file.disable_precision_conversion(marked, sensitive.full_precision)
        return ov.Core().read_model(marked), sensitive

    def write(self, model: ov.Model, name: str = IR) -> dict[str, bytes]:
        """Write an IR; return the contents of model.xml and model.bin."""
        path = self._directory / name
        ov.save_model(model, path, compress_to_fp16=self._metadata.precision == "fp16")
        xml = ir_file.tidy(path, self._metadata.to_strings())
        path.write_bytes(xml)
        return {"model.xml": xml, "model.bin": path.with_suffix(".bin").read_bytes()}

    def write_fixed(self, size: tuple[int, int]) -> dict[str, bytes]:
        """Write the last IR once more, for images of one size."""
        model = ov.Core().read_model(self._directory / IR)
        model.reshape({"input": [1, *size, self._metadata.channels]})
        # fp16 weights are already fp16 in this model.
        return self.write(model, FIXED)

    def make_runner(self, name: str = IR) -> Runner:
        """Return a function that runs an IR. It is not cached: it would push others out of the user's cache."""
        return OpenVinoUpscaler(self._directory / name, keep_compiled=False).run

    def write_and_run(self, model: ov.Model) -> Runner:
        """Write an IR, and return a function that runs it."""
        self.write(model)
        return self.make_runner()


def describe_ir(metadata: ModelMetadata, size: tuple[int, int] | None) -> dict[str, Any]:
    """Return the part of export.json that describes the model."""
    scale, channels = metadata.scale, metadata.channels
    input_shape: list[str | int] = ["n", "h", "w", channels]
    output_shape: list[str | int] = ["n", f"{scale}*h", f"{scale}*w", channels]
    if size:
        input_shape, output_shape = [1, *size, channels], [1, *(scale * side for side in size), channels]
    return {
        "schema": SCHEMA,
        "format": "openvino",
        "precision": metadata.precision,
        "metadata": metadata.to_strings(),
        "input": {"name": "input", "type": "uint8", "shape": input_shape},
        "output": {"name": "output", "type": "uint8", "shape": output_shape},
    }


def write_files(out_dir: Path, files: dict[str, bytes], record: dict[str, Any]) -> dict[str, Any]:
    """Write the IR and, last, export.json; return its content."""
    record["files"] = {
        name: {"bytes": len(content), "sha256": sha256_bytes(content)} for name, content in files.items()
    }
    for name in ("model.bin", "model.xml"):
        write_bytes(out_dir / name, files[name])
    write_json(out_dir / "export.json", record)
    return record
