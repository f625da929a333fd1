"""Run a command for which no file system has locks: python no_locks.py ENOSYS PROGRAM ARGUMENT…

A filter in the kernel (seccomp) answers each flock with the error, also in child processes, whatever the mount.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

_SET_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
FLOCK = {"x86_64": 73, "aarch64": 32}.get(platform.machine())
"""The number of the system call; None: not known for this kind of processor."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def refuse_locks(number: int) -> None:
    """Answer each flock of this process and its children with an error."""
    code = b"".join(
        struct.pack("HBBI", *line)
        for line in (
            (_LOAD, 0, 0, 0),  # the number of the call
            (_JUMP_IF_EQUAL, 0, 1, FLOCK),
            (_RETURN, 0, 0, _FAIL | number),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    program, libc = _Program(4, code), ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(
        _SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")


if __name__ == "__main__":
    refuse_locks(getattr(errno, sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
