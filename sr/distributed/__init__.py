"""Starting, watching and joining the ranks of a program, on one host or on several. It knows nothing of training.

The process that starts the ranks:

    launch.py        starts them, watches them, and ensures that none outlives it
    team.py          how many ranks there are, and where
    session.py       what it writes for the ranks into the store, and what each of them checks before it joins
    commands.py      the commands that start ranks: here, over ssh or pdsh, by Slurm, by hand
    attendance.py    which ranks have come, and which live
    earlier.py       refuses a directory in which ranks of an earlier start still live; run_lock.py, one of this host

On each host:

    host_program.py  starts the ranks of its host; connections.py runs it over ssh on all hosts
    rank_program.py  what every rank runs around its own work: it checks its host, meets the others, and is watched
    ranks.py         one rank among the others: its share of the work, and sums over all

Between them:

    heartbeat.py     files that change while their writers live
    rank_errors.py   passes errors from the ranks to the process that started them
    gpus.py          the GPUs that may be used

`sr.training` uses this package and names the module that its ranks run; nothing here imports it.
Importing this package loads none of its modules.
"""
