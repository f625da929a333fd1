"""The tasks, with a shell command that runs once in the middle of packing: for `luigi --module disturbed`.

DISTURB_BY is the command; DISTURB_WHEN is `before` (the first shard is begun) or `amid` (some crops are written).
With one worker the shards are packed in turn in Luigi's own process, so it is the same moment in every run.
"""

import functools
import os
import subprocess

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


pack.pack_shard = _pack_disturbed
