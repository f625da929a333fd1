"""The tables of docs/reference/kinds-of-files.md are true: an example of every row becomes what the row says."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from file_kinds import fill_folder, image_cases, path_cases, tar_cases, zip_cases
from PIL import Image

from data.catalog.resolve import resolve_dataset
from data.errors import UserError
from data.imaging.bit_depth import bit_depth
from data.imaging.decode import ImageFault, probe
from data.imaging.image_warnings import collect_warnings
from data.imaging.original import decode_original
from data.records import Rejection
from data.sources import Source, open_source
from data.sources.folder import FolderSource

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "kinds-of-files.md"
TAKEN, CONVERTED = "taken", "converted"


def read_rows(heading: str) -> dict[str, list[str]]:
    """Return the rows of the table under a heading: the other cells by the first one."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines[2:]]
    assert len({row[0] for row in rows}) == len(rows) > 3
    return {first: rest for first, *rest in rows}


IMAGES, ZIPS, TARS, PATHS = image_cases(), zip_cases(), tar_cases(), path_cases()
SECTIONS = {"Images": IMAGES, "Members of zips": ZIPS, "Members of tars": TARS, "Paths": PATHS}


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_row_has_an_example_and_every_example_a_row(heading):
    assert list(read_rows(heading)) == list(SECTIONS[heading])


def check(heading: str, first: str, outcome: str, detail: str) -> list[str]:
    """Check the cells "becomes" and "how, or the words" against what happened; return the cells."""
    cells = read_rows(heading)[first]
    becomes, words = cells[:2]
    assert becomes == outcome, f"{first}: {detail}"
    if outcome in (TAKEN, CONVERTED):
        assert outcome == TAKEN or words, f"{first}: how is it converted?"
        return cells
    quoted = re.findall(r"`([^`]+)`", words)
    assert quoted, f"{first}: quote the words {detail!r}"
    assert all(one in detail for one in quoted), f"{first}: the page says {quoted}, the program: {detail}"
    return cells


def observe(source: Source) -> tuple[str, str, np.ndarray | None]:
    """Return what the first rejected member of a source becomes, or else the first one; the words; the pixels."""
    found = list(source.scan())
    one = next((one for one in found if isinstance(one, Rejection)), found[0])
    if isinstance(one, Rejection):
        return f"rejected as `{one.reason}`", one.detail, None
    with collect_warnings() as warnings:
        ((_, pixels),) = source.read([one])
    if isinstance(pixels, Rejection):
        return f"rejected as `{pixels.reason}`", pixels.detail, None
    for reason, detail in warnings.items():
        return f"{TAKEN}, warned of `{reason}`", detail, pixels
    return TAKEN, one.id, pixels


def is_stored_as_it_is_taken(content: bytes) -> bool:
    """Return whether an image is 8-bit RGB, upright and without a profile, by Pillow's reading."""
    with Image.open(io.BytesIO(content)) as image:
        is_rgb = image.mode == "RGB" and bit_depth(content, probe(content).format) == 8
        return is_rgb and not image.info.get("icc_profile") and image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("first", IMAGES)
def test_images(first, tmp_path):
    case = IMAGES[first]
    for number, content in enumerate(case.contents):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a.png").write_bytes(content)
        outcome, detail, pixels = observe(FolderSource(folder, case.alpha))
        if outcome == TAKEN and not is_stored_as_it_is_taken(content):
            outcome = CONVERTED
        upscaled = check("Images", first, outcome, detail)[2]
        if pixels is not None:
            assert pixels.shape == case.pixels.shape
            assert np.abs(pixels.astype(int) - case.pixels).mean() <= case.tolerance
        try:
            decode_original(content)
        except ImageFault as fault:
            assert (upscaled, outcome) == ("rejected", f"rejected as `{fault.reason}`")
        else:
            assert upscaled == "upscaled"


def test_other_files_in_a_folder(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    rows = fill_folder(root)
    assert list(read_rows("Other files in a folder")) == list(dict.fromkeys(rows.values()))
    found = {one.id: one for one in FolderSource(root).scan()}
    for id, first in rows.items():
        one = found[id]
        outcome, detail = (
            (f"rejected as `{one.reason}`", one.detail) if isinstance(one, Rejection) else (TAKEN, one.id)
        )
        check("Other files in a folder", first, outcome, detail)


def observe_path(path: Path) -> tuple[str, str]:
    try:
        return observe(open_source(resolve_dataset(str(path))))[:2]
    except UserError as error:
        return "refused", str(error)


@pytest.mark.parametrize("first", ZIPS)
def test_members_of_zips(first, tmp_path):
    for content in ZIPS[first]:
        (tmp_path / "a.zip").write_bytes(content)
        check("Members of zips", first, *observe_path(tmp_path / "a.zip"))


@pytest.mark.parametrize("first", TARS)
def test_members_of_tars(first, tmp_path):
    for suffix, content in TARS[first]:
        (tmp_path / f"a{suffix}").write_bytes(content)
        check("Members of tars", first, *observe_path(tmp_path / f"a{suffix}"))


@pytest.mark.parametrize("first", PATHS)
def test_paths(first, tmp_path):
    files = PATHS[first]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    is_folder = first.startswith("A folder")
    for path in [tmp_path] if is_folder else [tmp_path / name for name in files]:
        try:
            outcome, detail = f"read as `{resolve_dataset(str(path)).kind}`", resolve_dataset(str(path)).note
        except UserError as error:
            outcome, detail = "refused", str(error)
        check("Paths", first, outcome, detail)
