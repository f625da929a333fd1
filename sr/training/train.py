"""The program that DeepSpeed's launcher starts on every device, on a directory with job.json
and run/conduct.json.

People start it by `sr.training.launch.train`.
"""

import argparse
import os
import sys
from pathlib import Path

from data.atomic_files import read_json
from data.errors import UserError
from data.processes.supervise import die_with_supervisor
from data.record_json import from_plain
from data.records import TrainingConduct, TrainingJob
from sr.training.rank_errors import tell
from sr.training.run_files import CONDUCT, JOB


def main(arguments: list[str]) -> int:
    """Run this rank; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path, help="the run's directory, with job.json")
    options = parser.parse_args(arguments)
    die_with_supervisor()
    try:
        _train(options.run_dir)
    except UserError as error:
        tell(options.run_dir, int(os.environ["RANK"]), error)
        return 1
    return 0


def _train(run_dir: Path) -> None:
    """Join the other ranks and train with them."""
    # Imported here: the watch over the supervisor begins before the slow part.
    from sr.training.engine import start_ranks
    from sr.training.trainer import Trainer

    job = from_plain(TrainingJob, read_json(run_dir / JOB), str(run_dir / JOB))
    conduct = from_plain(TrainingConduct, read_json(run_dir / CONDUCT), str(run_dir / CONDUCT))
    rank, world_size, device = start_ranks()
    Trainer(job, run_dir, rank, world_size, device, conduct).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
