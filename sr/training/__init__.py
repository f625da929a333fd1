"""Training a model: optimizer steps on the pairs of `sr.pairs`, validation, and checkpoints.

    job.py          the two records that describe a training; recipes.py has the defaults of each preset
    launch.py       starts a run on its ranks (sr.distributed); train.py is what each of them runs
    trainer.py      a run from its first step to its last: begin here
    engine.py       one optimizer step, around the network and its loss (graph.py, losses.py)
    checkpoints.py  what a run resumes from
    run_plan.py     what a run says before it starts; run_log.py is what it reports

Importing this package loads none of its modules.
"""
