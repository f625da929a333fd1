"""The tasks, disturbed while shards are packed: for `luigi --module disturbed`.

The environment variable DISTURB_WHEN is
- `before`: the shell command DISTURB_BY runs once, when the first shard begins;
- `amid`: the shell command DISTURB_BY runs once, when some crops are written;
- `full`: the disk is full after DISTURB_BY bytes of shards.

With one worker the shards are packed one by one in Luigi's own process, so the moment is the same in every run.
"""

import errno
import functools
import os
import subprocess
from typing import Any

from data.progress import Progress
from data.shards import ShardWriter
from pipeline import pack
from tasks import *  # noqa: F403  (luigi looks for the tasks in this module)

_pack_shard = pack.pack_shard


@functools.cache
def _disturb() -> None:
    subprocess.run(os.environ["DISTURB_BY"], shell=True, check=True)


def _pack_disturbed(*arguments: Any, progress: Progress, **options: Any) -> None:
    def report(done: int, total: int) -> None:
        if os.environ["DISTURB_WHEN"] == "amid":
            _disturb()
        progress(done, total)

    if os.environ["DISTURB_WHEN"] == "before":
        _disturb()
    _pack_shard(*arguments, progress=report, **options)


def _limit_disk(free_bytes: int) -> None:
    """Raise ENOSPC after this many bytes of shards."""
    write = ShardWriter._write

    def write_if_it_fits(self: ShardWriter, content: bytes | memoryview) -> None:
        nonlocal free_bytes
        free_bytes -= len(content)
        if free_bytes < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, content)

    ShardWriter._write = write_if_it_fits


if os.environ["DISTURB_WHEN"] == "full":
    _limit_disk(int(os.environ["DISTURB_BY"]))
else:
    pack.pack_shard = _pack_disturbed
