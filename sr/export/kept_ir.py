"""The IR of a model in the box, made on first use and kept in the user's cache.

Programs that do not use the store (`sr.load_upscaler`, `sr-factory upscale`) get their IRs here. A directory is named
by all that its files depend on, and appears whole, by a rename, so that processes can share the cache.
"""

import atexit
import contextlib
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from data.hashing import canonical_json, sha256_bytes, sha256_file
from sr.export.settings import KEPT_PRECISION
from sr.models.box import BoxModel
from sr.runtime.compiled_cache import find_cache_directory
from sr.runtime.model_files import open_session, read_onnx_metadata
from sr.runtime.network_upscalers import OnnxUpscaler

_RECORD = "export.json"
_VERSION = 1
"""Raised when the same graph gives another IR."""
_FOLDER = "models"


def keep_ir(model: BoxModel, planes: str = "rgb", tell: Callable[[str], object] | None = None) -> Path:
    """Return the directory of a model's IR in fp16, made now if it is not in the user's cache.

    Where the cache is turned off or cannot be written, the IR is made in a temporary directory, which this process
    deletes at its end.

    Args:
        model: in the box.
        planes: rgb or luma, see `sr.export.to_onnx.export_onnx`.
        tell: called with a line for the user: that the IR is made, and where it cannot be kept; None: standard error.

    Raises:
        UserError: the IR does not compute what the network computes, or SR_COMPILED_MODELS is a relative path.
    """
    tell = tell or (lambda line: print(line, file=sys.stderr, flush=True))
    cache, name = find_cache_directory(), f"{model.name}-{planes}-{_key(model, planes)}"
    kept = cache / _FOLDER / name if cache else None
    if kept and _is_whole(kept):
        return kept
    tell(f"Preparing {model.name} for this machine, once …")
    if kept:
        try:
            return _make_beside(model, planes, kept)
        except OSError as error:
            reason = error.strerror or error
            tell(f"{model.name} cannot be kept in {kept.parent} ({reason}): it is made anew each time")
    scratch = Path(tempfile.mkdtemp(prefix="sr-model-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    _make(model, planes, scratch / name)
    return scratch / name


def _key(model: BoxModel, planes: str) -> str:
    """Hash what the IR depends on: the graph with its weights, the precision, and the program that converts."""
    from sr.runtime.openvino_runtime import openvino

    facts = {
        "version": _VERSION,
        "graph": sha256_file(model.graph(planes)),
        "precision": KEPT_PRECISION,
        "openvino": openvino.get_version(),
    }
    return sha256_bytes(canonical_json(facts))[:12]


def _is_whole(kept: Path) -> bool:
    """Return whether a directory has all files that its record names, unchanged."""
    try:
        files = json.loads((kept / _RECORD).read_text(encoding="utf-8"))["files"]
        return all(sha256_file(kept / name) == facts["sha256"] for name, facts in files.items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # missing, cut short or changed
        return False


def _make_beside(model: BoxModel, planes: str, kept: Path) -> Path:
    """Make an IR beside its place, and rename it.

    Raises:
        OSError: the cache cannot be written.
    """
    # What is stored here decides what a program shows: no other user may write it.
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{kept.name}-", dir=kept.parent))
    try:
        _make(model, planes, scratch / kept.name)
        if kept.exists() and not _is_whole(kept):
            shutil.rmtree(kept, ignore_errors=True)  # damaged
        with contextlib.suppress(OSError):  # another process was faster
            (scratch / kept.name).rename(kept)
        if _is_whole(kept):
            return kept
        raise OSError(f"{kept} cannot be replaced")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _make(model: BoxModel, planes: str, out_dir: Path) -> None:
    """Convert the graph in the box, as ExportOpenVINO does, and compare the IR with it.

    Raises:
        UserError: they differ.
    """
    from sr.export.accuracy import check_parity
    from sr.export.ir_scratch import IrScratch, describe_ir, write_files

    path = model.graph(planes)
    metadata = read_onnx_metadata(open_session(path), path)
    metadata = dataclasses.replace(metadata, precision=KEPT_PRECISION)
    with tempfile.TemporaryDirectory() as directory:
        scratch = IrScratch(Path(directory), metadata)
        converted, _ = scratch.convert(path)
        files = scratch.write(converted)
        parity = check_parity(scratch.make_runner(), OnnxUpscaler(path).run, metadata)
    record = {**describe_ir(metadata, None), "made_from": {path.name: sha256_file(path)}}
    write_files(out_dir, files, record | {"parity": {"against": "onnx fp32", **dataclasses.asdict(parity)}})
