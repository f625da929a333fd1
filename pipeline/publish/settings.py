"""How to reach a remote store. None of it changes what is stored there."""

import dataclasses
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class RemoteSettings:
    """How to reach a remote store, and how patiently."""

    connections: int = 8
    """Number of files that are sent or fetched at once."""
    timeout_s: float = 60.0
    """A connection that is silent for this long counts as broken."""
    endpoint_url: str = ""
    """URL of a server that speaks S3 (MinIO, Ceph); empty: Amazon's, or what the environment says."""
    cache_bytes: int = 0
    """Largest size of all shards in the cache of selections; 0: as much as the disk has."""
    block_bytes: int = 8 << 20
    """Bytes that one request fetches. A kill loses at most this much of each file."""
    part_bytes: int = 50 << 20
    """Bytes that one request sends of a large file to S3. As much memory is needed for each connection."""
    pause: Callable[[float], None] = time.sleep
    """Waits for this many seconds between two attempts."""
