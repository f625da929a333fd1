"""Make damaged shards of a dataset again, so that they are the same bytes as before; or change nothing.

A shard is packed beside the dataset, held against the hashes that dataset.json has of it, and only then put in the
place of the damaged one.
"""

import os
import shutil
from pathlib import Path

from data.errors import UserError
from data.progress import Progress, silent
from data.records import ShardHeader
from data.shards import ShardPaths, read_header
from data.sources import Source
from pipeline.crop_plan import read_plan_shard
from pipeline.pack import PackSettings, pack_shard

_SPARE = Path("run") / "rebuilt"


def rebuild_shards(
    directory: Path,
    shards: dict[str, ShardHeader | None],
    plan_dir: Path,
    source: Source,
    settings: PackSettings,
    *,
    processes: int = 1,
    progress: Progress = silent,
) -> None:
    """Make shards again.

    Args:
        directory: of the dataset.
        shards: the names of those to make, with the headers that they must come out with; None: not known.
        plan_dir: the plan that they were made to.
        source: where its images are.
        settings: that they were made with.
        processes: sources that are worked on at once.
        progress: called with shards.

    Raises:
        UserError: a shard comes out otherwise than before; it, and those after it, stay as they were.
    """
    sweep(directory)
    try:
        for done, (shard, header) in enumerate(shards.items(), 1):
            spare = ShardPaths(directory / _SPARE, shard)
            pack_shard(read_plan_shard(plan_dir, shard), source, spare, settings, processes=processes)
            if header:
                _hold(read_header(spare.header), header, directory)
            _put_in_place(spare, ShardPaths(directory, shard))
            progress(done, len(shards))
    finally:
        sweep(directory)


def sweep(directory: Path) -> None:
    """Remove what a killed rebuilding left beside a dataset."""
    shutil.rmtree(directory / _SPARE, ignore_errors=True)


def _hold(made: ShardHeader, header: ShardHeader, directory: Path) -> None:
    if made != header:
        raise UserError(
            f"the shard that it was (xxh3 {header.tar_xxh3[:12]}…)",
            f"another one (xxh3 {made.tar_xxh3[:12]}…)",
            f"{header.shard}, packed again",
            f"a library that decodes or encodes has changed since: delete {directory} and run MakeCrops",
        )


def _put_in_place(spare: ShardPaths, paths: ShardPaths) -> None:
    """Replace the files of a shard, the header last."""
    for name in ("tar", "index", "manifest", "rejections", "header"):
        place = getattr(paths, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(getattr(spare, name), place)
