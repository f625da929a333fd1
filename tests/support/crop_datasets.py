"""Make finished crop datasets for tests, in this process, by running the tasks themselves."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import luigi

from tasks.crops import MakeCrops

SETTINGS = {"size_px": "128", "crops_per_shard": "12", "validation_fraction": "0.2"}


@contextlib.contextmanager
def store(root: Path, catalog: Path | str = "", **crops: str) -> Iterator[None]:
    """Let tasks use another store, with small crops and small shards, while the block runs.

    Args:
        root: directory of the store.
        catalog: folder of additional catalog files.
        crops: parameters of [crops] that differ from `SETTINGS`.
    """
    config = luigi.configuration.get_config()
    values = {("crops", name): value for name, value in (SETTINGS | crops).items()}
    values |= {("store", "root"): str(root), ("store", "catalog"): str(catalog)}
    for (section, name), value in values.items():
        config.set(section, name, value)
    luigi.task_register.Register.clear_instance_cache()
    try:
        yield
    finally:
        for section, name in values:
            config.remove_option(section, name)
        luigi.task_register.Register.clear_instance_cache()


def make_crops(photos: Path, root: Path) -> Path:
    """Make a crop dataset of a folder of images in a store; return the dataset's directory."""
    with store(root):
        task = MakeCrops(dataset=str(photos))
        assert build(task)
        return task.directory()


def build(task: luigi.Task) -> bool:
    """Run a task in this process; return whether it succeeded."""
    return luigi.build([task], local_scheduler=True, no_lock=True, log_level="CRITICAL")
