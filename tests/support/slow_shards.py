"""The tasks, with shards that take at least SLOW_SHARD_S seconds each: for `luigi --module slow_shards`.

Tests of several hosts need time in which to disturb them, on a machine that packs a tiny shard in a moment.
"""

import os
import time
from typing import Any

from pipeline import pack
from tasks import *  # noqa: F403  (luigi looks for the tasks in this module)

_pack_shard = pack.pack_shard


def _pack_slowly(*arguments: Any, **options: Any) -> None:
    time.sleep(float(os.environ["SLOW_SHARD_S"]))
    _pack_shard(*arguments, **options)


pack.pack_shard = _pack_slowly
