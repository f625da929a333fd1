"""For the tests of faults: mount file systems, and check what a failed run says and leaves behind."""

import re
import subprocess
from pathlib import Path

import pytest
from commands import files

OPTIONS = ["--crops-size-px", "128", "--crops-crops-per-shard", "8", "--crops-validation-fraction", "0.2"]
"""Options for small crops and small shards."""
_ERROR = re.compile(r"[\w.]+: ")
"""How an error line begins: with the task's name. In a line of progress a space follows the name."""


def mount(*arguments: str) -> None:
    """Mount a file system; skip the test if that is not allowed."""
    try:
        result = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("the program mount is not installed")
    if result.returncode:
        pytest.skip(f"mounting is not allowed here: {result.stderr.strip()}")


def assert_one_error_line(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that a run failed with a single error line, which contains these words in upper or lower case."""
    errors = [line for line in result.stderr.splitlines() if _ERROR.match(line)]
    assert result.returncode != 0
    assert len(errors) == 1, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    for word in words:
        assert word.lower() in errors[0].lower()


def assert_store_is_whole(store: Path, undisturbed: dict[str, bytes], parts: int = 0) -> None:
    """Check that a store has only complete files, no dataset.json, and exactly `parts` partial files.

    Args:
        store: the store's root.
        undisturbed: the files of an undisturbed run, content by path.
        parts: expected number of `.part` files.
    """
    found = files(store)
    assert len([name for name in found if name.endswith(".part")]) == parts
    damaged = [name for name in found if not name.endswith(".part") and found[name] != undisturbed.get(name)]
    assert damaged == []
    assert not [name for name in found if name.endswith("dataset.json")]
