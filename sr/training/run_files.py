"""The files of a run directory, for the code that starts a run, carries it out or uses its result.

`sr.models.run_files` names job.json and best.safetensors, `sr.distributed.run_files` what the ranks leave: locks, log,
errors.
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

RUN_OPTIONS = "run/options.json"
"""The RunOptions of the latest session."""
CLOCK = "run/clock.json"
"""How long the run has trained: {"trained_s"}."""
PROGRESS = "run/progress.json"
PLAN = "run/plan.txt"
"""What the run is going to do, a sentence a line; rank 0 writes it, and the launching process passes it on."""
