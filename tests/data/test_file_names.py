import os

import pytest

from data.atomic_files import atomic_file
from data.file_names import escape_name, find_name_fault


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Zürich 東京.png", "Zürich 東京.png"),
        (os.fsdecode(b"caf\xe9.png"), r"caf\xe9.png"),
        ("a\nb\x1b[31m\u202e.png", r"a\x0ab\x1b[31m\u202e.png"),
    ],
)
def test_names_are_shown_on_one_line_without_control_characters(name, shown):
    assert escape_name(name) == shown


def test_a_name_that_passes_can_be_written_and_one_that_does_not_cannot(tmp_path):
    folder = tmp_path
    while missing := 4095 - 242 - len(os.fsencode(folder)):
        folder /= "d" * (missing - 1 if missing <= 200 else 100)
    deep = folder.relative_to(tmp_path)
    folder.mkdir(parents=True)
    assert len(os.fsencode(folder)) == 4095 - 242
    for name, words in (("a.png", ""), ("l" * 241, ""), ("l" * 242, "a path of 4096 bytes")):
        assert find_name_fault(folder / name).startswith(words) and bool(words) == bool(
            find_name_fault(folder / name)
        )
        if not words:
            with atomic_file(folder / name) as file:
                file.write(b"whole")
    assert find_name_fault(tmp_path / deep / ("é" * 128)).startswith("a name of 256 bytes")
    assert find_name_fault(tmp_path / "no" / ("é" * 128) / "such.png").startswith("a name of 256 bytes")
