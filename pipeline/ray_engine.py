"""Pack the shards of a dataset as remote tasks of a Ray cluster; Ray queues, places, repeats and, where set up, scales.

A task is given what is to be packed and looks at nothing but the plan, the source and the store, which all nodes have
under the same paths. So the bytes are those of one machine, wherever and however often a task runs. Ray is imported
only when it is used.
"""

import contextlib
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.catalog.spec import DatasetSpec
from data.code_hash import hash_code
from data.errors import UserError
from data.exhaustion import hint_of
from data.processes.rust_panics import limit_rust_panics
from data.progress import Progress, silent
from data.shards import ShardPaths
from data.sources import open_source
from data.video.sampling_settings import FrameSamplingSettings
from pipeline.pack import PackSettings, pack_shard
from pipeline.plan_files import read_plan_shard

CODE = ("data", "pipeline")
"""The packages that decide what a shard holds: the same on every node."""
_BASE_BYTES = 400_000_000
"""Memory of a process that packs, without images."""
_BYTES_PER_PIXEL = 17
"""Of a TIFF or 16-bit image while it is decoded, the most; others take about 5."""
_LOOK_EVERY_S = 10.0
"""How often is looked whether any node could take what waits."""


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """What all tasks of one dataset are given."""

    plan_dir: Path
    """Directory of the crop plan, an absolute path."""
    directory: Path
    """Directory of the crop dataset, an absolute path."""
    dataset: DatasetSpec
    files: tuple[Path, ...]
    """The downloaded files, absolute paths."""
    alpha: str
    """How to handle transparent images, see `data.imaging.decode.decode`."""
    videos: FrameSamplingSettings
    settings: PackSettings


@dataclasses.dataclass(frozen=True)
class RayCluster:
    """Which cluster packs, and how."""

    address: str
    """As `ray.init` takes it: "auto" for the cluster of this host, HOST:PORT, or ray://HOST:PORT."""
    retries: int
    """How often a shard is tried again whose process or node died."""
    memory_bytes: int = 0
    """Memory that a task asks for; 0: what the largest image of its shard may need."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a shard on a node."""

    host: str
    error: UserError | None = None


def pack_on_node(job: ShardJob, shard: str, code: str) -> Outcome:
    """Pack one shard in a process of a node, unless it is there by now. The work of a remote task.

    Args:
        job: what is packed.
        shard: name of the shard.
        code: `hash_code(CODE)` of the program that started the run.

    Returns:
        The host's name, and the error that its user can fix, which names the host.
    """
    host = os.uname().nodename
    limit_rust_panics()
    try:
        _check_node(job, code)
        paths = ShardPaths(job.directory, shard)
        if not paths.header.exists():
            source = open_source(job.dataset, job.files, job.alpha, job.videos)
            pack_shard(read_plan_shard(job.plan_dir, shard), source, paths, job.settings)
    except UserError as error:
        return Outcome(host, UserError(f"On {host}: {error.message}", error.hint))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        problem = f"On {host}, shard {shard} could not be packed: {error.strerror}{where}"
        return Outcome(host, UserError(problem, hint_of(error) or "Check the store and the source there"))
    return Outcome(host)


def _check_node(job: ShardJob, code: str) -> None:
    """Check that this node has the store and the same program."""
    if not job.plan_dir.is_dir():
        raise UserError(f"there is no {job.plan_dir}", "Mount the store under the same path on every node")
    if hash_code(CODE) != code:
        message = "the program is another one than that which started the run"
        raise UserError(message, "Install the same version on every node, and start Ray there again")


def pack_shards(
    job: ShardJob, shards: Mapping[str, int], cluster: RayCluster, progress: Progress = silent
) -> dict[str, str]:
    """Pack shards on a cluster, and wait for all of them.

    Args:
        job: what is packed.
        shards: the shards to pack, with the number of their crops.
        cluster: where.
        progress: called with the number of crops of finished shards.

    Returns:
        The host that packed each shard.

    Raises:
        UserError: Ray is not installed, no cluster answers, or a shard failed. The tasks that wait are canceled.
    """
    if not shards:
        return {}
    ray = _import_ray()
    with _connected(ray, cluster):
        waiting = _submit(ray, job, shards, cluster)
        hosts: dict[str, str] = {}
        watch = _DemandWatch(ray)
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=_LOOK_EVERY_S)
            for task in ready:
                shard, _ = waiting.pop(task)
                hosts[shard] = _take(ray, task, shard)
                progress(sum(shards[one] for one in hosts), sum(shards.values()))
            if not ready:
                watch.look(waiting)
        return hosts


def _submit(
    ray: Any, job: ShardJob, shards: Mapping[str, int], cluster: RayCluster
) -> dict[Any, tuple[str, int]]:
    """Submit a task for each shard; return the name and the memory of each. Ray sees all the demand at once."""
    remote = ray.remote(num_cpus=1, max_retries=cluster.retries, scheduling_strategy="SPREAD")(pack_on_node)
    shared, code = ray.put(job), hash_code(CODE)
    waiting = {}
    for shard in shards:
        memory = cluster.memory_bytes or estimate_memory(job.plan_dir, shard)
        waiting[remote.options(memory=memory, name=f"PackShard {shard}").remote(shared, shard, code)] = (
            shard,
            memory,
        )
    return waiting


def estimate_memory(plan_dir: Path, shard: str) -> int:
    """Return how many bytes of memory the largest image of a shard may need while it is packed."""
    with open(plan_dir / "shards" / f"{shard}.jsonl", "rb") as lines:
        entries = (json.loads(line)["entry"] for line in lines)
        pixels: int = max(entry["width"] * entry["height"] for entry in entries)
    return _BASE_BYTES + _BYTES_PER_PIXEL * pixels


def _take(ray: Any, task: Any, shard: str) -> str:
    """Return the host of a finished task; raise what it failed with."""
    try:
        outcome: Outcome = ray.get(task)
    except ray.exceptions.RayTaskError:  # an error of the program: with its traceback
        raise
    except ray.exceptions.RayError as error:
        why = str(error).strip().partition("\n")[0]
        message = f"Shard {shard} was tried on several nodes, and its process died each time: {why}"
        raise UserError(message, "Look for what ends it, such as memory ([cluster] ray_memory_gb)") from error
    if outcome.error:
        raise outcome.error
    return outcome.host


class _DemandWatch:
    """Says once if no node is large enough for what waits: Ray itself waits without a word for a larger one."""

    def __init__(self, ray: Any) -> None:
        self._ray, self._has_spoken = ray, False

    def look(self, waiting: Mapping[Any, tuple[str, int]]) -> None:
        """Compare the tasks that wait with the nodes."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        largest = max((node.get("memory", 0) for node in nodes if node.get("CPU", 0) >= 1), default=0)
        shard, memory = max(waiting.values(), key=lambda one: one[1])
        if memory > largest and not self._has_spoken:
            self._has_spoken = True
            print(
                f"No node of the Ray cluster has the core and the {memory / 1e9:.1f} GB of memory that shard {shard} "
                f"asks for; the largest has {largest / 1e9:.1f} GB. It waits for a larger node. [cluster] "
                "ray_memory_gb sets what is asked for.",
                file=sys.stderr,
                flush=True,
            )


def _import_ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ModuleNotFoundError as error:
        raise UserError(
            f"[cluster] engine is ray, but {error.name} is not installed here",
            "Run: pip install 'super-resolution-factory[ray]' (in a clone: pip install -c constraints.txt -e '.[ray]')",
        ) from error
    return ray


@contextlib.contextmanager
def _connected(ray: Any, cluster: RayCluster) -> Iterator[None]:
    """Be a driver of the cluster while the block runs. At its end, also by an error, Ray cancels what waits."""
    if ray.is_initialized():
        yield
        return
    previous = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        why = str(error).strip().partition("\n")[0]
        message = f"[cluster] engine is ray, but no Ray cluster answers at {cluster.address!r}: {why}"
        raise UserError(
            message, "Run `ray start --head` on one host, or set [cluster] ray_address"
        ) from error
    finally:
        with contextlib.suppress(ValueError):  # not in the main thread, where Ray sets none either
            signal.signal(signal.SIGTERM, previous)
    try:
        yield
    finally:
        ray.shutdown()
