"""Paths as users write them."""

from pathlib import Path

from data.errors import UserError


def expand_home(path: str) -> Path:
    """Return a path with `~` or `~user` at its start replaced by the home folder.

    Raises:
        UserError: there is no such user, or this process runs as a user without a home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        first = path.partition("/")[0]
        message = f"There is no home folder {first}, with which {path!r} begins"
        raise UserError(message, f"Check the path, or write ./{path} for a folder of that name") from None
