"""The models whose speed is measured: a network with its exports, or a single model file."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from data.atomic_files import read_json
from sr.models.metadata import from_model_json
from sr.runtime.model_files import read_ir
from sr.runtime.network_upscalers import ForeignOnnxUpscaler, load_onnx
from sr.runtime.openvino_runtime import openvino as ov


@dataclasses.dataclass(frozen=True)
class ProfiledModel:
    """A model to measure."""

    name: str
    """For people: the preset, or the file's name."""
    files: Mapping[str, Path]
    """Precision (fp32, fp16, int8) to an .xml or .onnx file of this project."""
    reference: Path
    """An .onnx file (or an .xml file, where there is no other): what the speedup is measured against."""
    reference_description: str
    """What the reference is, for people."""
    reference_precision: str = "fp32"
    """The precision of the reference's weights."""


@contextlib.contextmanager
def open_network(name: str, model_dir: Path, files: Mapping[str, Path]) -> Iterator[ProfiledModel]:
    """Prepare a network with its exports; the reference is a temporary file, removed when the block ends.

    The reference is the network's graph as published, without the optimizations of our exports.

    Args:
        name: for people.
        model_dir: with model.safetensors and model.json.
        files: precision to .xml file.
    """
    from sr.export.to_onnx import trace_original_graph
    from sr.models.checkpoint import load_model

    metadata = from_model_json(read_json(model_dir / "model.json"))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "published.onnx"
        graph = trace_original_graph(load_model(model_dir), metadata)
        path.write_bytes(graph.SerializeToString(deterministic=True))
        yield ProfiledModel(
            name,
            files,
            path,
            "the published graph as ONNX, with dynamic size, compiled with the latency hint alone",
        )


@contextlib.contextmanager
def open_graph(path: Path) -> Iterator[ProfiledModel]:
    """Prepare a single .onnx or .xml file; the reference is the same file as it is.

    An ONNX file of another program is measured with the conversion from and to bytes.

    Raises:
        UserError: it is no model file that is run here.
    """
    precision, about = "fp32", "this file, with dynamic size, compiled with the latency hint alone"
    with tempfile.TemporaryDirectory() as scratch:
        file = path
        if path.suffix == ".xml":
            precision = read_ir(ov.Core(), path)[1].precision
        elif isinstance(load_onnx(path), ForeignOnnxUpscaler):
            from sr.export.from_onnx import import_onnx

            import_onnx(path, Path(scratch))
            file = Path(scratch) / "model.onnx"
        yield ProfiledModel(path.stem, {precision: file}, file, about)
