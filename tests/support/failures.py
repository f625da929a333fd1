"""What the tests of faults do: mount, and hold a failed run to what it may say and may leave behind."""

import subprocess
from pathlib import Path

import pytest
from commands import files

OPTIONS = ["--crops-size-px", "128", "--crops-crops-per-shard", "8", "--crops-validation-fraction", "0.2"]
"""Small crops and small shards."""


def mount(*arguments: str) -> None:
    """Mount; skip the test where that is not allowed."""
    try:
        result = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no program to mount with")
    if result.returncode:
        pytest.skip(f"nothing may be mounted here: {result.stderr.strip()}")


def hold_clear(result: subprocess.CompletedProcess, *words: str) -> None:
    """Make sure that a run failed with one line, in which these words are."""
    errors = [line for line in result.stderr.splitlines() if ": Expected " in line]
    assert result.returncode != 0
    assert len(errors) == 1, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    for word in words:
        assert word in errors[0]


def hold_whole(store: Path, undisturbed: dict[str, bytes], parts: int = 0) -> None:
    """Make sure that what is in a store is whole, that no dataset is there, and how many `.part` files were left."""
    found = files(store)
    assert len([name for name in found if name.endswith(".part")]) == parts
    halves = [name for name in found if not name.endswith(".part") and found[name] != undisturbed.get(name)]
    assert halves == []
    assert not [name for name in found if name.endswith("dataset.json")]
