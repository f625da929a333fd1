"""The files of a run directory, for the code that starts a run, carries it out or uses its result.

`sr.models.run_files` names the two others: job.json and best.safetensors.
"""

CHECKPOINTS = "checkpoints"
"""Directory of the checkpoints to resume from."""
EVENTS = "tensorboard"
"""Directory of TensorBoard's event files."""
HISTORY = "history.jsonl"
"""One line per epoch."""
CURVE = "curve.svg"
"""Training loss and validation PSNR by step, drawn when the run is over."""
RECORD = "training.json"
"""The result; written last."""

PARENT_LOCK = "run/parent.lock"
"""Held by the process that starts a training, from before the first change until the end."""
LOCK = "run/lock"
"""Held by the supervisor of a running training."""
RUN_OPTIONS = "run/options.json"
"""The RunOptions of the latest session."""
CLOCK = "run/clock.json"
"""How long the run has trained: {"trained_s"}."""
LOG = "run/log.txt"
PROGRESS = "run/progress.json"
ERRORS = "run/errors"
"""Directory of the errors that ended the training; see `rank_errors`."""
