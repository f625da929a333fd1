"""The tasks, disturbed in the middle of packing: for `luigi --module disturbed`.

DISTURB_BY is a shell command that runs once, DISTURB_WHEN is `before` (the first shard is begun) or `amid` (some crops
are written). Or DISTURB_WHEN is `full`, and DISTURB_BY the bytes of shards for which there is room on the disk.
With one worker the shards are packed in turn in Luigi's own process, so it is the same moment in every run.
"""

import errno
import functools
import os
import subprocess

from data.shards import ShardWriter
from pipeline import pack
from tasks import *  # noqa: F403  (luigi finds the tasks in the module that it is told)

_pack_shard = pack.pack_shard


@functools.cache
def _disturb() -> None:
    subprocess.run(os.environ["DISTURB_BY"], shell=True, check=True)


def _pack_disturbed(*arguments, progress, **options) -> None:
    def report(done: int, total: int) -> None:
        if os.environ["DISTURB_WHEN"] == "amid":
            _disturb()
        progress(done, total)

    if os.environ["DISTURB_WHEN"] == "before":
        _disturb()
    _pack_shard(*arguments, progress=report, **options)


def _fill(room_bytes: int) -> None:
    write = ShardWriter._write

    def write_if_there_is_room(self: ShardWriter, content: bytes) -> None:
        nonlocal room_bytes
        room_bytes -= len(content)
        if room_bytes < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, content)

    ShardWriter._write = write_if_there_is_room


if os.environ["DISTURB_WHEN"] == "full":
    _fill(int(os.environ["DISTURB_BY"]))
else:
    pack.pack_shard = _pack_disturbed
