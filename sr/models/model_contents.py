"""Say what a file or folder is that is given as a model, but is no model of the kind that its name says.

Files are recognized by their first bytes and, in a zip, by the names of its members. Nothing in them is run.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from data.imaging.foreign_content import image_format

_BEGINNING_BYTES = 4096
_DOWNLOAD = "Download the file itself, which Hugging Face and GitHub offer beside its page as Download or Raw"
_SAVE_WEIGHTS = (
    "In the program that wrote it, save the weights alone: torch.save(model.state_dict(), 'weights.pth'); or export "
    "the model there"
)


@dataclass(frozen=True)
class ContentKind:
    """What a file is by its content."""

    name: str
    """With an article: "a web page"."""
    hint: str
    """What would help."""
    suffixes: tuple[str, ...] = ()
    """Those that such a file should have; empty if it is no model that is read here."""


TORCH = ContentKind("a checkpoint of torch", "Name it .pth", (".pth", ".pt"))
SAFETENSORS = ContentKind("a safetensors file", "Name it .safetensors", (".safetensors",))
ONNX = ContentKind("an ONNX file", "Name it .onnx", (".onnx",))
IR = ContentKind(
    "an OpenVINO IR", "Name it .xml, with its .bin file beside it under the same name", (".xml",)
)
_TORCH_SCRIPT = ContentKind("a TorchScript program, which would have to be run", _SAVE_WEIGHTS)
_PICKLE = ContentKind(
    "a pickle that torch.save did not write; reading it could run code from it", _SAVE_WEIGHTS
)
_ZIP = ContentKind("a zip", "Unpack it, and give the model in it")
_CUT_ZIP = ContentKind(
    "a checkpoint of torch, or another zip, that is cut off or damaged", "Download or save it again"
)
_PAGE = ContentKind("a web page", _DOWNLOAD)
_JSON = ContentKind("JSON text", _DOWNLOAD)
_STARTS = {
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": TORCH,
    b"version https://git-lfs": ContentKind("a Git LFS pointer in place of the model", "Run: git lfs pull"),
    b"/annex/objects/": ContentKind("a git-annex pointer in place of the model", "Run: git annex get"),
    b"GGUF": ContentKind(
        "a GGUF file of llama.cpp", "Give the .pth or .safetensors file of a network of this field"
    ),
    b"\x89HDF\r\n": ContentKind(
        "an HDF5 file, as Keras writes it", "Convert it to ONNX or torch where it was trained"
    ),
    b"\x93NUMPY": ContentKind("an array of NumPy", "Give a .pth or .safetensors file"),
    b"7767517": ContentKind("a network of ncnn", "Give the .pth or .safetensors file that it was made from"),
    b"\x1f\x8b": ContentKind("a file compressed by gzip", "Unpack it"),
    b"7z\xbc\xaf": ContentKind("a 7z archive", "Unpack it"),
    b"Rar!": ContentKind("a RAR archive", "Unpack it"),
    b"%PDF-": ContentKind("a PDF", _DOWNLOAD),
    b"\x7fELF": ContentKind("a program", "Give the model itself"),
    b"MZ": ContentKind("a program of Windows", "Give the model itself"),
}
_ONNX_FIELDS = b"\x12\x1a\x22\x28\x32\x3a\x42"
"""Tags of the fields that may follow the version at the start of an ONNX file."""
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")


def find_content_kind(path: Path) -> ContentKind | None:
    """Return what a file is by its content; None if that is not known.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(_BEGINNING_BYTES)
    if start.startswith(b"PK\3\4"):
        return _kind_of_zip(path)
    for magic, kind in _STARTS.items():
        if start.startswith(magic):
            return kind
    if not start.strip(b"\0"):
        name = "empty" if not start else "filled with zeros, as after a power cut"
        return ContentKind(name, "Download or save it again")
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32:
        return SAFETENSORS
    if len(start) > 2 and start[0] == 8 and 1 <= start[1] <= 20 and start[2] in _ONNX_FIELDS:
        return ONNX
    if start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return _PICKLE
    if name := image_format(start):
        return ContentKind(f"an image ({name})", "Give the model itself")
    return _kind_of_text(start)


def _kind_of_zip(path: Path) -> ContentKind:
    if not zipfile.is_zipfile(path):
        return _CUT_ZIP
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return _CUT_ZIP
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        return _TORCH_SCRIPT
    if any(name.endswith("data.pkl") for name in names):
        return TORCH
    if names and all(name.endswith(".npy") for name in names):
        return ContentKind("an archive of NumPy", "Give a .pth or .safetensors file")
    return _ZIP


def _kind_of_text(start: bytes) -> ContentKind | None:
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<net " in text and text.startswith((b"<?xml", b"<net ")):
        return IR
    if text.startswith(_HTML) or (text.startswith((b"<?xml", b"<!--")) and b"<html" in text):
        return _PAGE
    if text.startswith(b"<?xml"):
        return ContentKind("an XML document, probably the error message of a server", _DOWNLOAD)
    return _JSON if text.startswith((b"{", b"[")) and text.isascii() else None


def describe_content(path: Path) -> UserError | None:
    """Return the error for a file whose content is known, and not what its suffix says; None for other files."""
    kind = find_content_kind(path)
    if kind is None or path.suffix.lower() in kind.suffixes:
        return None
    return UserError(f"{path} is {kind.name}", kind.hint)


def refuse_other_content(path: Path) -> None:
    """Refuse a model file whose content is known, and not what its suffix says.

    Raises:
        UserError: it is another kind of file; the message says which, and what would help.
    """
    if error := describe_content(path):
        raise error


def describe_folder(folder: Path) -> UserError | None:
    """Return the error for a folder of a known kind that holds no model of this program; None for other folders."""
    names = [path.name for path in folder.iterdir()]
    if "latest" in names or any(name.endswith("_model_states.pt") for name in names):
        return UserError(
            f"{folder} is a checkpoint folder of DeepSpeed, which divides a state among processes",
            f"Join it with the script that DeepSpeed left there: cd {folder} && python zero_to_fp32.py . weights, and "
            "give the file that it writes; of this program's own training give the run's folder",
        )
    weights = sorted(name for name in names if name.endswith((".safetensors", ".pth", ".onnx", ".xml")))
    if len(weights) > 0:
        shown = ", ".join(weights[:3]) + (" …" if len(weights) > 3 else "")
        return UserError(
            f"{folder} is a folder, and no model of this program", f"Give one of its files: {shown}"
        )
    return None
