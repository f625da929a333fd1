"""The templates of deploy/ are valid, and their commands are those that the code has."""

import os
import re
import select
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from pipeline.shard_parts import Part

DEPLOY = Path(__file__).parents[2] / "deploy"
JOBS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
SCRIPTS = [path for path in sorted((DEPLOY / "slurm").iterdir()) if path.suffix in (".sh", ".sbatch")]


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_the_jobs_have_the_schema_of_kubernetes(path):
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load(path.read_text())
    schemas.validate(job, schemas.latest_version(), strict=True)
    with pytest.raises(schemas.ValidationError):
        schemas.validate(job | {"specs": {}}, schemas.latest_version(), strict=True)


def test_every_index_of_the_job_is_a_part_and_every_part_an_index(tmp_path):
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((DEPLOY / "kubernetes" / "pack.yaml").read_text())["spec"]
    (container,) = job["template"]["spec"]["containers"]
    (tmp_path / "sr-factory").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "sr-factory").chmod(0o755)
    parts = []
    for index in (0, job["completions"] - 1):
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": str(index)}
        command = [*container["command"], *container["args"]]
        words = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        assert words[:4] == ["PackShard", "--dataset", "DIV2K", "--part"]
        parts.append(Part.parse(words[4]))
    assert parts == [Part(1, job["completions"]), Part(job["completions"], job["completions"])]


@pytest.mark.parametrize("script", [one for one in SCRIPTS if "pack" in one.name], ids=lambda path: path.name)
def test_the_scripts_parse_and_say_what_they_need(script):
    subprocess.run(["bash", "-n", script], check=True)
    alone = subprocess.run(["bash", script], capture_output=True, text=True)
    assert alone.returncode != 0 and "usage: " in alone.stderr


def test_a_dataset_is_planned_packed_and_finished_in_this_order_whatever_its_name(tmp_path):
    """With a program in place of sbatch that writes down what it is given; tests/faults/slurm.py has the real one."""
    log = tmp_path / "log"
    (tmp_path / "sbatch").write_text(
        f'#!/bin/bash\nprintf "%s\\0" "$@" >> {log}; echo >> {log}; wc -l < {log}\n'
    )
    (tmp_path / "sbatch").chmod(0o755)
    name = "/data/my photos; rm -rf $HOME"
    command = [DEPLOY / "slurm" / "pack-dataset.sh", name, "64", "--crops-size-px", "256"]
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    plan, pack, finish = (line.split("\0")[:-1] for line in log.read_text().splitlines())
    options = ["--crops-size-px", "256"]
    assert shlex.split(plan[-1]) == ["exec", "sr-factory", "shards", name, *options]
    assert pack[-5:] == [str(DEPLOY / "slurm" / "pack.sbatch"), name, "64", *options]
    assert {"--dependency=afterok:1", "--array=1-64"} <= set(pack)
    assert shlex.split(finish[-1]) == ["exec", "sr-factory", "MakeCrops", "--dataset", name, *options]
    assert "--dependency=afterany:2" in finish
    assert re.search(r"plan: job 1, pack: array 2, finish: job 3", said)


def read_fifo(path: Path) -> str:
    """Read what is written to a fifo at once; a writer that never comes fails the test, and does not hold it up."""
    pipe = os.open(path, os.O_RDWR)
    try:
        assert select.select([pipe], [], [], 60)[0], f"nothing was written to {path.name}"
        return os.read(pipe, 4096).decode()
    finally:
        os.close(pipe)


@pytest.mark.parametrize(
    ("end", "code", "queue", "nodes", "launcher"),
    [("TERM", 143, "requeue 7\n", "1", "auto"), ("", 30, "", "4", "srun")],
)
def test_a_training_whose_time_is_up_saves_and_goes_back_into_the_queue(
    end, code, queue, nodes, launcher, tmp_path
):
    """With programs in place of sr-factory and scontrol. The training ends a while after it was asked to."""
    programs = {
        "sr-factory": 'trap \'echo saved; exit 143\' TERM\necho "$@" > begun\n[ -z "$END" ] && exit 30\n'
        "read -r nothing < never",
        "scontrol": 'echo "$@" > queue',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    for fifo in ("begun", "never"):
        os.mkfifo(tmp_path / fifo)
    (tmp_path / "queue").touch()
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "END": end}
    environment["SLURM_JOB_NUM_NODES"] = nodes
    job = subprocess.Popen(
        ["bash", DEPLOY / "slurm" / "train.sbatch", "--training-max-epochs", "3"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    options = read_fifo(tmp_path / "begun").split()
    assert options == ["TrainModel", "--training-launcher", launcher, "--training-max-epochs", "3"]
    if end:
        job.send_signal(signal.SIGTERM)
    said, _ = job.communicate()
    assert (job.returncode, (tmp_path / "queue").read_text()) == (code, queue)
    assert ("saved" in said) == bool(end)
