"""List the images of a folder, and what looks like an image but is not taken as one: nothing is left out in silence."""

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import UserError
from data.exhaustion import hint_of
from data.file_names import escape_name, is_file, is_folder
from data.imaging.foreign_content import OTHER_SUFFIXES, image_format
from data.imaging.other_formats import UPSCALED_SUFFIXES
from data.records import Rejection, RejectionReason

STAGE = "upscale"
_SIGNATURE_BYTES = 16
_GONE = (errno.ENOENT, errno.ENOTDIR)


@dataclass
class ImageList:
    """What a folder holds."""

    images: list[Path] = field(default_factory=list)
    """The files to upscale, sorted."""
    rejections: list[Rejection] = field(default_factory=list)
    """Files and folders that are not taken, sorted by id."""


def find_input_root(source: Path) -> Path:
    """Return the folder that ids and the paths of results are relative to."""
    return source if is_folder(source) else source.parent


def image_id(path: Path, root: Path) -> str:
    """Return a file's path below the root, with "/", as it is shown and recorded."""
    return escape_name(path.relative_to(root).as_posix())


def list_images(source: Path, output: Path) -> ImageList:
    """List the images in a folder. Hidden files and folders, and the output folder, are skipped.

    Args:
        source: a folder, searched recursively, or an image.
        output: the folder for the results.

    Raises:
        UserError: there is nothing that looks like an image, or a folder cannot be read.
    """
    if is_file(source):
        return ImageList([source])
    found, skipped = ImageList(), os.path.abspath(output)
    for folder, folders, files in os.walk(source, onerror=lambda error: _add_folder(error, source, found)):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and os.path.abspath(Path(folder) / name) != skipped
        ]
        for name in [*folders, *files]:
            if not name.startswith("."):
                _add(Path(folder) / name, source, found)
    found.images.sort()
    found.rejections.sort(key=lambda rejection: rejection.id)
    if not found.images and not found.rejections:
        suffixes = " ".join(sorted(UPSCALED_SUFFIXES))
        problem = f"contains no image ({suffixes})" if is_folder(source) else "does not exist"
        raise UserError(f"{source} {problem}", "Check the path")
    return found


def _add(path: Path, root: Path, found: ImageList) -> None:
    """Add a listed file or folder where it belongs, if it is or looks like an image."""
    if fault := _find_fault(path):
        found.rejections.append(Rejection(image_id(path, root), STAGE, *fault))
    elif path.suffix.lower() in UPSCALED_SUFFIXES and is_file(path):
        found.images.append(path)


def _add_folder(error: OSError, root: Path, found: ImageList) -> None:
    """Add a folder that cannot be listed because its path is too long.

    Raises:
        UserError: it cannot be listed for another reason.
    """
    if error.errno in _GONE or (error.errno == errno.ENAMETOOLONG and Path(error.filename) == root):
        return  # the caller reports it, or it was deleted after it was listed
    if error.errno != errno.ENAMETOOLONG:
        hint = hint_of(error) or "Change its permissions"
        raise UserError(f"The folder {error.filename} cannot be read: {error.strerror}", hint) from None
    detail = "a folder whose path is too long for the system"
    found.rejections.append(
        Rejection(image_id(Path(error.filename), root), STAGE, RejectionReason.BAD_NAME, detail)
    )


def _find_fault(path: Path) -> tuple[RejectionReason, str] | None:
    """Return why a file that looks like an image, or a folder, is not taken; None if it is, or is something else."""
    suffix = path.suffix.lower()
    is_named_so = suffix in UPSCALED_SUFFIXES or suffix in OTHER_SUFFIXES
    try:
        status = path.stat()
    except OSError as error:
        return _explain_link(path, error) if is_named_so else None
    if stat.S_ISDIR(status.st_mode):
        if path.is_symlink():
            return RejectionReason.LINK, "a link to a folder; only links to files are followed"
        return None
    if not stat.S_ISREG(status.st_mode):
        fault = RejectionReason.LINK, "a device, a pipe or a socket, not a file"
        return fault if is_named_so else None
    if suffix in UPSCALED_SUFFIXES:
        return None
    if suffix in OTHER_SUFFIXES:
        return RejectionReason.UNSUPPORTED, f"{suffix[1:].upper()} is not read; convert it to PNG or TIFF"
    if kind := _read_format(path):
        detail = f"its content is {kind}, but its name does not end as that of an image; rename it"
        return RejectionReason.UNSUPPORTED, detail
    return None


def _explain_link(path: Path, error: OSError) -> tuple[RejectionReason, str] | None:
    """Return why a listed file cannot be examined; None if it has gone since."""
    if error.errno not in (*_GONE, errno.ELOOP):
        return RejectionReason.UNREADABLE, f"the file: {error.strerror}"
    if not path.is_symlink():
        return None
    if error.errno == errno.ELOOP:
        return RejectionReason.LINK, "a link that leads back to itself"
    return RejectionReason.UNREADABLE, "a link to a file that does not exist"


def _read_format(path: Path) -> str:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return image_format(file.read(_SIGNATURE_BYTES))
    return ""
