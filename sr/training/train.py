"""The program that DeepSpeed's launcher starts for every rank, on a directory with job.json and run/options.json.

`sr.training.launch.train` starts the launcher.
"""

import argparse
import os
import sys
from pathlib import Path

from data.atomic_files import read_json
from data.errors import UserError
from data.processes.parent_death import die_with_supervisor
from data.record_json import from_plain
from sr.models.run_files import JOB
from sr.training.job import RunOptions, TrainingJob
from sr.training.rank_errors import write_error
from sr.training.run_files import RUN_OPTIONS


def main(arguments: list[str]) -> int:
    """Run this rank; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path, help="the run's directory")
    options = parser.parse_args(arguments)
    die_with_supervisor()
    try:
        _train(options.run_dir)
    except UserError as error:
        write_error(options.run_dir, int(os.environ["RANK"]), error)
        return 1
    return 0


def _train(run_dir: Path) -> None:
    """Join the other ranks and train with them."""
    # Imported here, so that the rank watches its supervisor before the slow part begins.
    import torch

    from sr.training.ranks import start_ranks
    from sr.training.trainer import Trainer

    job = from_plain(TrainingJob, read_json(run_dir / JOB), str(run_dir / JOB))
    options = from_plain(RunOptions, read_json(run_dir / RUN_OPTIONS), str(run_dir / RUN_OPTIONS))
    rank = start_ranks()
    try:
        Trainer(job, run_dir, rank, options).run()
    except torch.OutOfMemoryError as error:
        message = f"A step does not fit into the memory of {rank.device}: {str(error).splitlines()[0]}"
        hint = "Set [training] micro_batch_size to less than the run's plan says; the result stays the same"
        raise UserError(message, hint) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
