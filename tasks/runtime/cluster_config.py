"""The section [cluster] of luigi.cfg, and whether this run takes part in one."""

import luigi
from luigi.interface import core

from data.errors import UserError
from tasks.runtime.parameters import ChoiceParameter, FloatParameter, IntParameter


class cluster(luigi.Config):
    """How this host takes part in a run of several hosts."""

    engine: str = ChoiceParameter(
        default="luigi",
        choices=("luigi", "ray"),
        description="what packs the shards of MakeCrops: the workers of Luigi, or a Ray cluster, see "
        "docs/how-to/ray.md",
    )
    ray_address: str = luigi.Parameter(
        default="auto", description="the Ray cluster: auto (this host's), HOST:PORT or ray://HOST:PORT"
    )
    ray_retries: int = IntParameter(
        default=5, at_least=0, description="how often Ray tries a shard again whose process or node died"
    )
    ray_memory_gb: float = FloatParameter(
        default=0,
        at_least=0,
        description="memory that Ray keeps free for each shard, GB; 0: what its largest image may need",
    )
    train: str = ChoiceParameter(
        default="auto",
        choices=("auto", "yes", "no"),
        description="whether this host trains; auto: it has a GPU that torch can use",
    )
    max_failures: int = IntParameter(
        default=3,
        at_least=1,
        description="failed tasks in a row after which this host leaves the others' work alone",
    )
    scheduler_timeout_s: float = FloatParameter(
        default=3600, above=0, description="how long to wait for a luigid that does not answer, in seconds"
    )
    look_again_s: float = FloatParameter(
        default=3, above=0, description="how often a host without work looks for new tasks, in seconds"
    )


_is_cluster = False


def is_cluster() -> bool:
    """Return whether a luigid gives out the tasks of this run, also to other hosts."""
    return _is_cluster


def choose_scheduler(given: dict[str, object]) -> None:
    """Decide whether this run takes part in a cluster. Call it in the main process, while Luigi's parser is active.

    A scheduler that is named is used: Luigi ignores its name as long as `local_scheduler` is true.

    Args:
        given: what the command line gives, by Luigi's names.

    Raises:
        UserError: two engines are named.
    """
    global _is_cluster
    config = luigi.configuration.get_config()
    named = any(given.get(f"core_scheduler_{part}") for part in ("host", "port", "url"))
    if named and not given.get("core_local_scheduler"):
        config.set("core", "local_scheduler", "false")
    _is_cluster = not core().local_scheduler
    if _is_cluster and cluster().engine != "luigi":
        raise UserError(
            f"A luigid is named, and [cluster] engine is {cluster().engine}: both would give out the shards",
            "Leave out --scheduler-host, or set [cluster] engine = luigi",
        )
