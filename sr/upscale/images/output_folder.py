"""Check that results can be written, before the work that makes them begins."""

import os
import tempfile
from pathlib import Path

from data.errors import UserError

_HINT = "Change its permissions, or choose another folder"


def check_folder_is_writable(folder: Path) -> None:
    """Check that files can be made in a folder, or that it can be made. Nothing is left behind.

    Args:
        folder: its absolute path.

    Raises:
        UserError: they cannot.
    """
    existing = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except NotADirectoryError:
        raise UserError(
            f"{existing}, where results would go, is not a folder", "Choose another folder"
        ) from None
    except OSError as error:
        raise UserError(f"The folder {existing} cannot be written to: {error.strerror}", _HINT) from None
