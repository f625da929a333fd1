"""What a source was when it was planned, stored beside the plan, so that a job need not look through it again.

To identify a folder lists all its files, which takes long where they are millions and the jobs are many. A job that is
given the plan takes the source for unchanged. No wrong pixel comes of it: every image that is packed is compared with
the index.
"""

from pathlib import Path
from typing import Any

from data.atomic_files import read_json, write_json
from data.catalog.spec import DatasetSpec
from data.errors import UserError
from data.record_json import from_plain, to_plain
from data.records import SCHEMA

_FILE = Path("run") / "source.json"
_known: dict[str, tuple[DatasetSpec, dict[str, Any]]] = {}
"""By `--dataset`, as it is given: its spec, and the fingerprint of its source."""


def find_spec(dataset: str) -> DatasetSpec | None:
    """Return the spec of a dataset of which this process has been given the plan; None of any other."""
    return _known[dataset][0] if dataset in _known else None


def find_fingerprint(dataset: str) -> dict[str, Any] | None:
    """Return the fingerprint of its source, in the same way."""
    return _known[dataset][1] if dataset in _known else None


def is_stored(plan_dir: Path) -> bool:
    """Return whether a plan has what its source is beside it."""
    return (plan_dir / _FILE).exists()


def store(plan_dir: Path, dataset: str, spec: DatasetSpec, fingerprint: dict[str, Any]) -> None:
    """Write what a source is beside its plan."""
    content = {"schema": SCHEMA, "dataset": dataset, "spec": to_plain(spec), "source": fingerprint}
    write_json(plan_dir / _FILE, content)


def load(plan_dir: Path, dataset: str) -> None:
    """Take the source of a dataset for what it was when this plan was made.

    Raises:
        UserError: it is the plan of another dataset, or none.
    """
    if dataset in _known:
        return
    if not is_stored(plan_dir):
        message = f"--plan-dir {plan_dir} is not the directory of a plan with {_FILE}"
        raise UserError(
            message, "Give the directory that `sr-factory shards DATASET --json` names, or leave it out"
        )
    content = read_json(plan_dir / _FILE)
    if content["dataset"] != dataset:
        message = f"--plan-dir {plan_dir} is the plan of {content['dataset']}, not of {dataset}"
        raise UserError(message, "Give the plan of this dataset")
    spec = from_plain(DatasetSpec, content["spec"], str(plan_dir / _FILE))
    _known[dataset] = (spec, content["source"])


def check_plan(plan_dir: Path, given: Path) -> None:
    """Check that the plan which follows from the settings is the one that was given.

    Raises:
        UserError: it is another: a setting differs.
    """
    if plan_dir.resolve() != given.resolve():
        message = f"--plan-dir {given} is not the plan that follows from the settings here, {plan_dir}"
        raise UserError(message, "Use the luigi.cfg, options and version that made it, or leave it out")
