"""The IR of a model in the box is made once, kept whole, and made without being kept where that is not possible."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from images import textured

from sr.export import kept_ir
from sr.export.kept_ir import keep_ir
from sr.models.box import BOX_MODELS, DEFAULT_MODEL
from sr.runtime.load import load_upscaler
from sr.upscale.load import open_upscaler

MODEL = BOX_MODELS[DEFAULT_MODEL]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Give a cache of its own."""
    monkeypatch.setenv("SR_COMPILED_MODELS", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def test_it_is_made_once_and_computes_what_the_network_computes(cache):
    said: list[str] = []
    kept = keep_ir(MODEL, tell=said.append)
    written = (kept / "model.xml").stat().st_mtime_ns
    assert kept.parent == cache and keep_ir(MODEL, tell=said.append) == kept
    assert len(said) == 1 and (kept / "model.xml").stat().st_mtime_ns == written
    assert [path.name for path in cache.iterdir()] == [kept.name], "nothing temporary is left"
    lr_image = textured(1, 31, 46)
    ir, network = open_upscaler(DEFAULT_MODEL), load_upscaler(DEFAULT_MODEL)
    assert ir.name == "realtime-x2 openvino fp16" and network.name == "realtime-x2 torch"
    assert np.abs(ir(lr_image).astype(int) - network(lr_image)).max() <= 1
    luma = keep_ir(MODEL, "luma", said.append)
    assert luma != kept and load_upscaler(luma).color == "luma"
    assert json.loads((luma / "export.json").read_text())["parity"]["psnr_db"] is None or len(said) == 2


@pytest.mark.parametrize("damage", ["cut", "record"])
def test_a_damaged_ir_is_made_again(cache, damage):
    kept = keep_ir(MODEL, tell=str)
    content = (kept / "model.bin").read_bytes()
    if damage == "cut":
        (kept / "model.bin").write_bytes(content[:-7])
    else:
        (kept / "export.json").write_text('{"files": []}')
    said: list[str] = []
    assert keep_ir(MODEL, tell=said.append) == kept and len(said) == 1
    assert (kept / "model.bin").read_bytes() == content


def test_another_version_of_openvino_or_another_graph_gets_another_ir(cache, monkeypatch):
    from sr.runtime.openvino_runtime import openvino

    first = kept_ir._key(MODEL, "rgb")
    assert first != kept_ir._key(MODEL, "luma")
    monkeypatch.setattr(openvino, "get_version", lambda: "2031.1")
    assert kept_ir._key(MODEL, "rgb") != first


@pytest.mark.parametrize("setting", ["off", "unwritable"])
def test_without_a_cache_it_works_and_says_so(tmp_path, setting):
    """In a process of its own: what is made in it goes away with it."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    program = (
        "from sr.models.box import BOX_MODELS\n"
        "from sr.export.kept_ir import keep_ir\n"
        "kept = keep_ir(BOX_MODELS['realtime-x2'])\n"
        "assert (kept / 'model.xml').is_file()\n"
        "print(kept.parent)\n"
    )
    variables = {"SR_COMPILED_MODELS": "off" if setting == "off" else str(blocked / "below")}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("cannot be kept in" in ended.stderr) == (setting == "unwritable"), ended.stderr
    assert "Preparing realtime-x2 for this machine" in ended.stderr
    assert not Path(ended.stdout.strip()).exists()


def test_processes_that_begin_together_share_one_ir(cache):
    program = (
        "from sr.models.box import BOX_MODELS\nfrom sr.export.kept_ir import keep_ir\n"
        "print(keep_ir(BOX_MODELS['realtime-x2']))\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    printed = {process.communicate()[0] for process in started}
    assert [process.returncode for process in started] == [0, 0]
    assert len(printed) == 1 and len(list(cache.iterdir())) == 1
