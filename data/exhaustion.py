"""Tell what the machine has run out of from what is wrong with a file.

A decoder that gets no memory, or a reader that gets no file handle, fails on an intact image. Such a failure is never a
property of the image: taken for one, it would be stored under the dataset's name for good.
"""

import errno
import mmap

from data.errors import UserError

_FREE_MEMORY = "Run again with fewer --workers, or with more memory (ulimit -v, the container's limit)"
_RAISE_LIMIT = "Raise the limit of open files (ulimit -n) or use fewer --workers, and run again"
_MAKE_ROOM = "Make room there, and run again"
_CHECK_DISK = "Check the disk or the mount (dmesg shows its errors), and run again"
_HINTS = {
    errno.ENOMEM: _FREE_MEMORY,
    errno.EMFILE: _RAISE_LIMIT,
    errno.ENFILE: _RAISE_LIMIT,
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EIO: _CHECK_DISK,
    errno.ESTALE: _CHECK_DISK,
    errno.ENODEV: _CHECK_DISK,
    errno.ENOTCONN: _CHECK_DISK,
    errno.ETIMEDOUT: _CHECK_DISK,
    errno.EREMOTEIO: _CHECK_DISK,
}
"""What to do, by the number of an error that says nothing about the file that it names."""
_OUT_OF_MEMORY = ("insufficient memory", "cannot allocate", "error -4 while", "object pointer is null")
"""How OpenCV, zlib and PyO3 say it where they raise no MemoryError, in lower case."""
_OVERHEAD_BYTES = 1 << 28
"""What a decoder may need beside the pixels: Pillow allocates the canvas of a WebP with its header."""
_BYTES_PER_PX = 12
"""What a decoder needs for a pixel, at most: a progressive JPEG takes 9 bytes."""


def raise_if_exhausted(error: BaseException, pixels: int = 0) -> None:
    """Raise if an error may be the machine's fault; return if it is the file's.

    Some libraries report a lack of memory as damage. So memory is reserved for a moment, as much as decoding needs: if
    even that fails, the error proves nothing about the file.

    Args:
        error: what a decoder or the operating system raised.
        pixels: the size of the image, if it is known.

    Raises:
        MemoryError: memory ran out.
        OSError: the error itself, where it is about open files, disk space or the disk.
        BaseException: the error itself, where it is an interrupt.

    Example:
        try:
            image.load()
        except Exception as error:
            raise_if_exhausted(error, image.width * image.height)
            raise ImageFault(RejectionReason.UNREADABLE, str(error)) from None
    """
    if isinstance(error, KeyboardInterrupt | SystemExit) or hint_of(error):
        raise error
    if isinstance(error, OSError) and error.errno:
        return
    if any(words in str(error).lower() for words in _OUT_OF_MEMORY):
        raise MemoryError(str(error)) from None
    try:
        mmap.mmap(-1, _BYTES_PER_PX * pixels + _OVERHEAD_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        raise MemoryError(str(error)) from None


def explain_exhaustion(error: BaseException, action: str) -> BaseException:
    """Return what the machine has run out of as a UserError; an error about something else is returned unchanged.

    Args:
        error: what was raised.
        action: what failed, for the message: "reading photos/1.png".
    """
    hint = hint_of(error)
    what = error.strerror if isinstance(error, OSError) else "Memory ran out"
    return UserError(f"{what} while {action}", hint) if hint else error


def hint_of(error: BaseException) -> str:
    """Return what to do about an error that says nothing about a file; empty if it may be about the file."""
    if isinstance(error, MemoryError):
        return _FREE_MEMORY
    if not isinstance(error, OSError) or error.errno is None:
        return ""
    # FFmpeg has only this number for many kinds of damage.
    if error.errno == errno.EIO and type(error).__module__.startswith("av."):
        return ""
    return _HINTS.get(error.errno, "")
