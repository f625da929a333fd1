"""What is measured: a network with its exports, or one graph that somebody named. It compiles and times nothing."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from data.atomic_files import read_json
from sr.models.metadata import from_model_json
from sr.runtime.model_files import read_ir
from sr.runtime.openvino_runtime import openvino as ov
from sr.speed.profile import Subject


@contextlib.contextmanager
def network(name: str, model_dir: Path, forms: Mapping[str, Path]) -> Iterator[Subject]:
    """A network with its exports; the reference, its published graph, stands on disk while the block runs.

    Args:
        name: for people.
        model_dir: with model.safetensors and model.json.
        forms: precision to .xml file.
    """
    from sr.export.to_onnx import published_graph
    from sr.models.checkpoint import load_model

    metadata = from_model_json(read_json(model_dir / "model.json"))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "published.onnx"
        graph = published_graph(load_model(model_dir), metadata)
        path.write_bytes(graph.SerializeToString(deterministic=True))
        yield Subject(
            name, forms, path, "the published graph as ONNX, any size, compiled with the latency hint alone"
        )


@contextlib.contextmanager
def graph(path: Path) -> Iterator[Subject]:
    """An .onnx or .xml file of ours on its own; the reference is the same file, as it is.

    Raises:
        UserError: it is no model of ours.
    """
    stored = "fp32"
    if path.suffix == ".xml":
        stored = read_ir(ov.Core(), path)[1].precision
    yield Subject(
        path.stem, {stored: path}, path, "this file, any size, compiled with the latency hint alone"
    )
