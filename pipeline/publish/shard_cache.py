"""The local cache of shards that fetched selections read.

A shard lies in <store>/cache/ under its digest, and a link stands where the selection expects it, so that every reader
finds it. Where the cache has a limit, shards that other selections fetched longest ago make room.
"""

import dataclasses
import os
from pathlib import Path

from data.disk_space import require_free_space
from data.errors import UserError
from data.held_folders import make_folder
from data.progress import Progress
from data.record_json import from_plain
from data.selection import SelectionManifest
from pipeline.publish.fetch_file import fetch_file
from pipeline.publish.file_list import NeededShard, PublishedFile, needed_shards
from pipeline.publish.remote import RemoteFolder
from pipeline.publish.settings import RemoteSettings
from pipeline.publish.transfers import Counter, Transfers

FOLDER = "cache"


@dataclasses.dataclass(frozen=True)
class Cached:
    """What was done for a selection."""

    shards: int
    bytes: int
    fetched_bytes: int
    evicted: int
    """Shards of other selections that were removed."""


def is_present(root: Path, shard: NeededShard) -> bool:
    """Return whether a shard is where a selection expects it, packed there or linked to the cache."""
    path = _link(root, shard)
    return path.is_file() and path.stat().st_size == shard.bytes


def fetch_shards(
    remote: RemoteFolder, root: Path, record: bytes, settings: RemoteSettings, progress: Progress
) -> Cached:
    """Fetch the shards that a selection reads, as far as they are not there.

    Args:
        remote: the URL that has the datasets.
        root: of the local store.
        record: content of selection.json.
        settings: how to reach the URL, and how large the cache may be.
        progress: called with the bytes of the shards.

    Raises:
        UserError: they are more than the cache or the disk holds, or one can't be fetched.
    """
    import json

    where = "selection.json"
    shards = needed_shards(from_plain(SelectionManifest, json.loads(record), where), where)
    packed = [shard for shard in shards if is_present(root, shard) and not _link(root, shard).is_symlink()]
    cached = [shard for shard in shards if shard not in packed]
    missing = [shard for shard in cached if not _is_cached(root, shard)]
    evicted = _make_room(root, cached, missing, settings.cache_bytes)
    missing_bytes, total = sum(one.bytes for one in missing), sum(one.bytes for one in shards)
    require_free_space(root, missing_bytes, f"The cache of {len(missing)} shards")
    counter = Counter(progress, total, total - missing_bytes)
    remote.show_waits(counter.note)
    transfers = Transfers[NeededShard](settings.connections)

    def get(shard: NeededShard) -> None:
        file = PublishedFile(shard.tar, shard.bytes, shard.digest)
        path = f"{shard.dataset.directory}/{shard.tar}"
        fetch_file(remote, path, _cached(root, shard), file, counter, transfers.check)

    transfers.run(missing, get)
    for shard in cached:
        os.utime(_cached(root, shard))  # the order of eviction
        _place_link(root, shard)
    return Cached(len(shards), total, missing_bytes, evicted)


def _make_room(root: Path, used: list[NeededShard], missing: list[NeededShard], limit_bytes: int) -> int:
    """Remove shards that this selection does not use until the cache fits; return how many."""
    used_bytes = sum(one.bytes for one in used)
    if not limit_bytes:
        return 0
    if used_bytes > limit_bytes:
        message = (
            f"The selection reads {used_bytes} bytes of shards, but [remote] cache_gb allows {limit_bytes}"
        )
        raise UserError(message, "Raise cache_gb, or select fewer crops")
    kept = {_cached(root, shard).name for shard in used}
    others = sorted(
        (path for path in (root / FOLDER).glob("*.tar") if path.name not in kept),
        key=lambda path: (path.stat().st_mtime_ns, path.name),
    )
    excess = used_bytes + sum(path.stat().st_size for path in others) - limit_bytes
    evicted = 0
    for path in others:
        if excess <= 0:
            break
        excess -= path.stat().st_size
        path.unlink()
        evicted += 1
    return evicted


def _cached(root: Path, shard: NeededShard) -> Path:
    return root / FOLDER / f"{shard.digest.partition(':')[2]}.tar"


def _is_cached(root: Path, shard: NeededShard) -> bool:
    path = _cached(root, shard)
    return path.is_file() and path.stat().st_size == shard.bytes


def _link(root: Path, shard: NeededShard) -> Path:
    return root / shard.dataset.directory / shard.tar


def _place_link(root: Path, shard: NeededShard) -> None:
    """Link the place where a selection expects a shard to the cache; a packed shard there stays."""
    path = _link(root, shard)
    if path.is_file() and not path.is_symlink() and path.stat().st_size == shard.bytes:
        return
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.link")
    part.unlink(missing_ok=True)
    part.symlink_to(os.path.relpath(_cached(root, shard), path.parent))
    os.replace(part, path)
