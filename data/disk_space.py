"""Check that a disk has enough free space before a large write."""

import shutil
from pathlib import Path

from data.errors import UserError


def require_free_space(folder: Path, needed_bytes: int, what: str, hint: str = "") -> None:
    """Refuse to begin a write that does not fit on the disk.

    Args:
        folder: an existing folder on the disk to write to.
        needed_bytes: size of what will be written.
        what: what will be written, for the message: "DIV2K_train_HR.zip".
        hint: what to do; by default to free some space.

    Raises:
        UserError: fewer bytes are free than needed.
    """
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > free_bytes:
        message = f"{what} needs {needed_bytes} bytes, but only {free_bytes} bytes are free in {folder}"
        raise UserError(message, hint or "Free some space, or move [store] root to a larger disk")
