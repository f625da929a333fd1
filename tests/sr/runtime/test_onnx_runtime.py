"""ONNX Runtime sends no reports."""

import os
import re
import subprocess
import sys
from pathlib import Path

from score_networks import save_network

REPOSITORY = Path(__file__).parents[3]
SWITCHES = {"ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI"}
OPEN = "import sys, pathlib, sr.runtime.model_files as files; files.open_session(pathlib.Path(sys.argv[1]))"
TYPES_ONLY = re.compile(r"if TYPE_CHECKING:\n(?:[ \t]+.*\n|\n)+")


def test_opening_a_file_leaves_no_id_in_the_temporary_folder(tmp_path):
    path = save_network(tmp_path / "mean.onnx")
    (tmp_path / "temporary").mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    environment |= {"TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", OPEN, str(path)], env=environment, check=True)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_no_other_module_imports_it_first():
    found = [
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("data", "pipeline", "sr", "tasks")
        for path in (REPOSITORY / folder).rglob("*.py")
        if re.search(r"^\s*import onnxruntime\b", TYPES_ONLY.sub("", path.read_text()), re.MULTILINE)
    ]
    assert found == ["sr/runtime/onnx_runtime.py"]
