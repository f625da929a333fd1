"""The program of every rank, on a directory with job.json and run/options.json.

`sr.training.launch.train` has it started.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from data.atomic_files import read_json
from data.errors import UserError
from data.exhaustion import explain_exhaustion
from data.held_folders import holding
from data.record_json import from_plain
from sr.distributed.rank_program import run_rank
from sr.models.run_files import JOB
from sr.training.job import RunOptions, TrainingJob
from sr.training.run_files import RUN_OPTIONS


def main(arguments: list[str]) -> int:
    """Run this rank; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path, help="the run's directory")
    options = parser.parse_args(arguments)
    with holding(options.run_dir):
        return run_rank(options.run_dir, lambda: _train(options.run_dir))


def _train(run_dir: Path) -> None:
    """Join the other ranks and train with them."""
    # Imported here, so that the rank watches its supervisor before the slow part begins.
    import torch

    from sr.distributed.ranks import start_ranks
    from sr.training.trainer import Trainer

    job = from_plain(TrainingJob, read_json(run_dir / JOB), str(run_dir / JOB))
    options = from_plain(RunOptions, read_json(run_dir / RUN_OPTIONS), str(run_dir / RUN_OPTIONS))
    rank = start_ranks()
    options = dataclasses.replace(options, num_workers=options.num_workers or rank.cores)
    try:
        Trainer(job, run_dir, rank, options).run()
    except torch.OutOfMemoryError as error:
        message = f"A step does not fit into the memory of {rank.device}: {str(error).splitlines()[0]}"
        hint = "Set [training] micro_batch_size to less than the run's plan says; the result stays the same"
        raise UserError(message, hint) from error
    except OSError as error:
        if (explained := explain_exhaustion(error, f"training in {run_dir}")) is error:
            raise
        raise explained from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
