"""Pack a dataset on three nodes of a Ray cluster, kill one of them amid its shards, and compare the bytes.

    PYTHONPATH=.:tests/support python tests/faults/ray_nodes.py [--images 60] [--seed 0]

The nodes are processes of this host (Ray's own test cluster). The reference is made by Luigi without Ray. One node is
killed (kill -9 of the process that gives out its work) as soon as the first shard is finished, so its processes are
packing. The exit code is 1 if a byte differs, a part file is left, or the run fails; 0 with a word where Ray is not
installed.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
from commands import REPOSITORY, files, luigi
from images import textured

OPTIONS = ["--crops-size-px", "128", "--crops-crops-per-shard", "40", "--crops-validation-fraction", "0.1"]
NODE_BYTES = 80_000_000
"""Of each node's object store: tasks return a few words."""
START_S, END_S = 120, 300
POLL_S = 0.01


def fill(folder: Path, images: int, seed: int) -> None:
    """Write the images."""
    folder.mkdir()
    for number in range(images):
        height, width = 500 + number % 7 * 30, 700 + number % 5 * 40
        cv2.imwrite(str(folder / f"{number:03}.png"), textured(seed + number, height, width))


def wait_for_headers(store: Path, run: subprocess.Popen[str]) -> bool:
    """Wait until a shard is finished; return whether one is while the run goes on."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and run.poll() is None:
        if any(store.glob("crops/*/manifest/*-[0-9]*[0-9].json")):
            return run.poll() is None
        time.sleep(POLL_S)
    return False


def pack_and_kill(store: Path, command: list[str]) -> str:
    """Pack on three nodes of which one is killed; return what went wrong, or nothing."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": NODE_BYTES, "memory": 2_000_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    try:
        others = [cluster.add_node(**node) for _ in range(2)]
        address = ["--cluster-engine", "ray", "--cluster-ray-address", cluster.address]
        program = [sys.executable, "-m", "tasks.cli", *command, *address, "--store-root", str(store)]
        with tempfile.TemporaryFile("w+") as log:
            run = subprocess.Popen(program, cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT, text=True)
            if not wait_for_headers(store, run):
                run.kill()
            else:
                os.kill(others[0].all_processes["raylet"][0].process.pid, signal.SIGKILL)
                cluster.remove_node(others[0], allow_graceful=False)
            code = run.wait(END_S)
            log.seek(0)
            said = log.read()
        print(
            "\n".join(line for line in said.splitlines() if "packed on" in line or line.startswith("Crops:"))
        )
        return "" if code == 0 else f"the run ended with {code}:\n{said[-3000:]}"
    finally:
        cluster.shutdown()


def main(argv: list[str]) -> int:
    """Run the check, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="seed of the images")
    options = parser.parse_args(argv)
    try:
        import ray  # noqa: F401
    except ModuleNotFoundError:
        print("ray_nodes: Ray is not installed here, so nothing was tried")
        return 0
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    scratch, begun = Path(tempfile.mkdtemp(prefix="ray-nodes-")), time.monotonic()
    fill(scratch / "photos", options.images, options.seed)
    command = ["MakeCrops", "--dataset", str(scratch / "photos"), *OPTIONS]
    made = luigi(scratch / "one", *command, "--workers", "2")
    fault = made.stderr if made.returncode else pack_and_kill(scratch / "ray", command)
    if not fault:
        one, ray_made = files(scratch / "one"), files(scratch / "ray")
        different = sorted(
            name for name in one.keys() | ray_made.keys() if one.get(name) != ray_made.get(name)
        )
        fault = f"these files differ: {', '.join(different[:10])}" if different else ""
    if fault:
        print(f"ray_nodes: {fault}\nStores are kept in {scratch}", file=sys.stderr)
        return 1
    shards = len(list((scratch / "ray").glob("crops/*/shards/*.tar")))
    shutil.rmtree(scratch)
    print(
        f"{shards} shards packed on three nodes, one killed: the same byte for byte ({time.monotonic() - begun:.0f} s)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
