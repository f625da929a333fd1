"""The command `sr-factory shards`: plan the crops of a dataset, and list its shards for the jobs of a batch system.

sr-factory shards DIV2K              a table, and the commands that pack the shards
sr-factory shards DIV2K --json       the same as JSON, on standard output alone
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from luigi.cmdline_parser import CmdlineParser
from luigi.task_register import TaskClassException

from data.errors import UserError
from tasks import known_sources
from tasks.crops import MakeCrops, PlanCrops
from tasks.runtime import arguments

_JSON = "--json"
USAGE = "usage: sr-factory shards DATASET [--json] [options of PlanCrops]"


def main(argv: list[str], run_task: Callable[[list[str]], int]) -> int:
    """Index and plan a dataset where that is still to be done, and list its shards; return the exit code.

    Args:
        argv: the dataset and the options.
        run_task: runs a task as the command line does, and returns the exit code.
    """
    if not argv or argv[0].startswith("-"):
        print(USAGE, file=sys.stdout if {"-h", "--help"} & set(argv) else sys.stderr)
        return 0 if {"-h", "--help"} & set(argv) else arguments.USAGE_EXIT_CODE
    as_json = _JSON in argv
    command = ["PlanCrops", "--dataset", argv[0], *(word for word in argv[1:] if word != _JSON)]
    try:
        if not _is_planned(command):
            with contextlib.redirect_stdout(sys.stderr):
                if code := run_task(command):
                    return code
        found = _describe(command)
    except (UserError, TaskClassException) as error:
        print(f"sr-factory shards: {arguments.explain(error)}", file=sys.stderr)
        return arguments.USAGE_EXIT_CODE
    print(json.dumps(found, indent=1) if as_json else "\n".join(_render(found)))
    return 0


def _is_planned(command: list[str]) -> bool:
    with CmdlineParser.global_instance(["--module", "tasks", *command]) as parser:
        arguments.check(parser)
        return bool(parser.get_task_obj().is_done())


def _describe(command: list[str]) -> dict[str, Any]:
    """Return the shards of a finished plan, with what is done: the content of `--json`."""
    with CmdlineParser.global_instance(["--module", "tasks", *command]) as parser:
        plan: PlanCrops = parser.get_task_obj()
        home = MakeCrops(dataset=plan.dataset)
        if not known_sources.is_stored(
            plan.directory()
        ):  # it was planned by an earlier version, or killed just then
            known_sources.store(plan.directory(), plan.dataset, plan.dataset_spec, plan.index.source_identity)
        done = _names(home.directory() / "manifest")
        shards = [dict(shard) | {"done": f"{shard['name']}.json" in done} for shard in plan.planned_shards()]
        return {
            "dataset": plan.dataset,
            "plan": os.path.abspath(plan.directory()),
            "directory": os.path.abspath(home.directory()),
            "shards": shards,
        }


def _names(folder: Path) -> set[str]:
    """Return the names in a folder, from one listing; none where it does not exist yet."""
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()


def _render(found: dict[str, Any]) -> Iterator[str]:
    shards = found["shards"]
    for shard in shards:
        state = "done" if shard["done"] else "to do"
        yield f"{shard['name']}  {state:5}  {shard['sources']} images, at most {shard['crops']} crops"
    done = sum(shard["done"] for shard in shards)
    yield f"{len(shards)} shards, {done} done, in {found['directory']}"
    if done < len(shards):
        command = f"sr-factory PackShard --dataset {found['dataset']} --part I/N"
        yield f"{command} packs part I of N; I from 1, N at most {len(shards)}"
