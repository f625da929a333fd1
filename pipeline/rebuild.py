"""Rebuild damaged shards of a dataset, byte for byte as before.

A shard is packed beside the dataset and compared with the hashes in dataset.json. Only then does it replace the damaged
one.
"""

import os
import shutil
from pathlib import Path

from data.errors import UserError
from data.held_folders import make_folder
from data.progress import Progress, silent
from data.records import ShardHeader
from data.shards import ShardPaths, read_header
from data.sources import Source
from pipeline.pack import PackSettings, pack_shard
from pipeline.plan_files import read_plan_shard

_REBUILT = Path("run") / "rebuilt"


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
    """Pack shards again, and replace the damaged ones.

    Args:
        directory: directory of the dataset.
        shards: names of the shards to rebuild, with the expected headers; None if unknown.
        plan_dir: directory of the plan that they were made from.
        source: reads the images.
        settings: the settings that they were made with.
        processes: number of sources to process at once.
        progress: called with the number of shards.

    Raises:
        UserError: a rebuilt shard differs from the original. This shard and the ones after it are left as they were.
    """
    remove_leftovers(directory)
    try:
        for done, (shard, header) in enumerate(shards.items(), 1):
            rebuilt = ShardPaths(directory / _REBUILT, shard)
            pack_shard(read_plan_shard(plan_dir, shard), source, rebuilt, settings, processes=processes)
            if header:
                _check_unchanged(read_header(rebuilt.header), header, directory)
            _replace_files(rebuilt, ShardPaths(directory, shard))
            progress(done, len(shards))
    finally:
        remove_leftovers(directory)


def remove_leftovers(directory: Path) -> None:
    """Remove what a killed rebuild left beside a dataset."""
    shutil.rmtree(directory / _REBUILT, ignore_errors=True)


def _check_unchanged(rebuilt: ShardHeader, expected: ShardHeader, directory: Path) -> None:
    if rebuilt != expected:
        raise UserError(
            f"{expected.shard} was packed again, but differs from the original shard (xxh3 {rebuilt.tar_xxh3[:12]}…, "
            f"not {expected.tar_xxh3[:12]}…): a library that decodes or encodes images has changed since",
            f"Delete {directory} and run MakeCrops",
        )


def _replace_files(rebuilt: ShardPaths, paths: ShardPaths) -> None:
    """Replace the files of a shard, the header last."""
    for name in ("tar", "index", "manifest", "rejections", "warnings", "header"):
        path = getattr(paths, name)
        if name == "warnings" and not rebuilt.warnings.exists():
            continue
        make_folder(path.parent)
        os.replace(getattr(rebuilt, name), path)
