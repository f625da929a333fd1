"""Score images by a no-reference metric of pyiqa: HyperIQA, MUSIQ, CLIP-IQA and some seventy more.

Weights come from disk, and nothing is fetched unless that is asked for. Of a pickle only tensors are read.
"""

import contextlib
import functools
import hashlib
import importlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch

from data.errors import UserError
from data.exhaustion import raise_if_exhausted
from sr.scoring.scorer import Floats, UInt8Images

_OF_SETS = ("fid", "sfid", "fid_dinov2", "inception_score")
"""Metrics of pyiqa that call themselves no-reference, but measure sets of images."""
_CONNECTIONS = ("urllib.Request", "socket.getaddrinfo", "socket.connect")
_PACKAGES = {
    "clip": "Run: pip install --no-deps openai-clip ftfy regex wcwidth 'setuptools<81'",
    "pkg_resources": "Run: pip install 'setuptools<81'",
}
"""How to install what pyiqa imports, where the name does not say it."""
_SEED = 0
_offline = False


class MissingWeightsError(Exception):
    """Weights would have to be fetched."""


class PyiqaScorer:
    """A metric of pyiqa with its weights.

    Args:
        name: pyiqa's name of the metric.
        device: "cuda" or "cpu".
        threads: of torch on the CPU.
        download: whether pyiqa may fetch weights that are not on disk.

    Raises:
        UserError: pyiqa can't be imported or has no such metric, or weights are missing.
    """

    def __init__(self, name: str, device: str, threads: int, download: bool) -> None:
        torch.set_num_threads(threads)
        self._device = torch.device(device)
        pyiqa = _import_pyiqa()
        known = [one for one in pyiqa.list_models("NR") if one not in _OF_SETS]
        if name not in known:
            raise UserError(
                f"[scores] metrics: pyiqa {pyiqa.__version__} has no no-reference metric {name}",
                f"Give NAME=FILE.onnx, or one of: {', '.join(known)}",
            )
        self._guard = contextlib.nullcontext if download else functools.partial(_from_disk, name)
        with self._guard(), _quiet(), _tensors_only():
            self._metric = _create(pyiqa, name, self._device)
        self.network_sha256 = _hash_parameters(self._metric.net)

    def __call__(self, images: UInt8Images) -> Floats:
        """Return the score of each image. Raises what the metric raises."""
        batch = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).to(self._device)
        # Some metrics look at random windows.
        with torch.random.fork_rng(devices=[]), _seeded_numpy(), torch.inference_mode(), _quiet():
            torch.manual_seed(_SEED)
            with self._guard():  # some weights are read when they are first needed
                found = self._metric(batch)
        scores = torch.as_tensor(found).detach().float().reshape(-1).cpu().numpy()
        if len(scores) != len(images):
            raise ValueError(f"it gives {len(scores)} numbers for {len(images)} images")
        return scores


def _import_pyiqa() -> Any:
    try:
        with _quiet():
            import pyiqa
    except ModuleNotFoundError:
        raise
    except Exception as error:  # torchvision of another build raises whatever it comes across
        raise_if_exhausted(error)
        message = f"pyiqa can't be imported: {error}"
        raise UserError(
            message, "Install the torchvision that belongs to this torch, from the same package index"
        ) from None
    logging.getLogger("pyiqa").setLevel(logging.WARNING)
    return pyiqa


def _create(pyiqa: Any, name: str, device: torch.device) -> Any:
    try:
        return pyiqa.create_metric(name, device=device)
    except Exception as error:  # whatever a file of weights makes torch raise
        raise_if_exhausted(error)
        if _find_cause(error):
            raise
        if package := _find_missing_package(pyiqa, name, error).partition(".")[0]:
            raise UserError(
                f"[scores] metrics: pyiqa's {name} needs the package {package}, which is not installed",
                _PACKAGES.get(package, f"Install what it imports as {package}"),
            ) from None
        words = " ".join(str(error).split())[:300]
        raise UserError(
            f"[scores] metrics: {name} can't be made: {words or type(error).__name__}",
            f"If a file of weights is damaged, delete it: they are in {torch.hub.get_dir()}",
        ) from None


def _find_missing_package(pyiqa: Any, name: str, error: Exception) -> str:
    """Return the module that a metric could not be imported without; empty if there is none.

    pyiqa ignores what it can't import, and then says that it does not know the metric.
    """
    if not isinstance(error, ModuleNotFoundError) and "registry" not in str(error):
        return ""
    network = pyiqa.api_helpers.DEFAULT_CONFIGS[name]["metric_opts"]["type"]
    for path in sorted((Path(pyiqa.__file__).parent / "archs").glob("*_arch.py")):
        if f"class {network}(" in path.read_text(encoding="utf-8"):
            try:
                importlib.import_module(f"pyiqa.archs.{path.stem}")
            except ModuleNotFoundError as missing:
                return missing.name or ""
    return (error.name or "") if isinstance(error, ModuleNotFoundError) else ""


@contextlib.contextmanager
def _from_disk(name: str) -> Iterator[None]:
    """Refuse every connection in the block, and say which file it was for."""
    global _offline
    import huggingface_hub
    import pyiqa.utils.download_util as downloads

    if _watch not in _watching:
        _watching.append(_watch)
        sys.addaudithook(_watch)
    fetch, is_offline = downloads.download_url_to_file, huggingface_hub.constants.HF_HUB_OFFLINE
    downloads.download_url_to_file = torch.hub.download_url_to_file = _refuse
    huggingface_hub.constants.HF_HUB_OFFLINE = _offline = True
    try:
        yield
    except Exception as error:
        cause = _find_cause(error)
        if cause is None:
            raise
        raise UserError(
            f"[scores] metrics: the weights of {name} are not on disk: {cause}",
            "Fetch them there, or allow it: --scores-download",
        ) from None
    finally:
        downloads.download_url_to_file = torch.hub.download_url_to_file = fetch
        huggingface_hub.constants.HF_HUB_OFFLINE, _offline = is_offline, False


_watching: list[Callable[[str, tuple[Any, ...]], None]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse a connection: what Python calls before it opens one. Such a hook can't be removed, so it has a switch."""
    if not _offline or event not in _CONNECTIONS:
        return
    if event == "socket.connect" and isinstance(arguments[1], str | bytes):
        return  # a socket of this machine
    if event == "urllib.Request":
        url = str(arguments[0])
        folder = "clip" if "clip" in urlsplit(url).path else "checkpoints"
        _refuse(url, os.path.join(torch.hub.get_dir(), folder, url.rpartition("/")[2]))
    raise MissingWeightsError(f"it connects to {arguments[0]!s}")


def _refuse(url: str, dst: str, *_: Any, **__: Any) -> None:
    raise MissingWeightsError(f"{url} belongs into {Path(dst).parent} as {Path(dst).name}")


def _find_cause(error: BaseException | None) -> str | None:
    """Return what was missing if an error, or one that it came from, says that weights are not on disk."""
    found = None
    while error is not None:
        names = {one.__name__ for one in type(error).__mro__}
        if isinstance(error, MissingWeightsError):
            return " ".join(str(error).split())
        if names & {"OfflineModeIsEnabled", "LocalEntryNotFoundError"}:
            url = re.search(r"https?://[^\s:]+", str(error))
            found = f"{url[0]} belongs into the cache of huggingface_hub" if url else found or str(error)
        error = error.__cause__ or error.__context__
    return found


@contextlib.contextmanager
def _tensors_only() -> Iterator[None]:
    """Let torch.load refuse pickles that are more than tensors, whatever its caller asks for."""
    variable = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(variable)
    os.environ[variable] = "1"
    try:
        yield
    finally:
        os.environ.pop(variable)
        if before is not None:
            os.environ[variable] = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what pyiqa prints from the terminal."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def _seeded_numpy() -> Iterator[None]:
    before = np.random.get_state()
    np.random.seed(_SEED)
    try:
        yield
    finally:
        np.random.set_state(before)


def _hash_parameters(network: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
