"""Training a model: from shards to batches, optimizer steps, checkpoints, and the launcher of a run.

    job.py          the two records that describe a training
    launch.py       starts DeepSpeed's launcher; train.py is what it runs, one process per rank
    trainer.py      the training loop
    engine.py       one optimizer step, with losses.py
    loader.py       batches from partitions.py, which build pairs.py with degradation.py from shard readers
    checkpoints.py  what a run resumes from
    run_log.py      what a run reports

Importing this package loads none of its modules.
"""
