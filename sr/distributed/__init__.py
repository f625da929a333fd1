"""Starting, watching and joining the ranks of a program, on one host or on several. It knows nothing of training.

    launch.py        starts the ranks, and ensures that none outlives the process that started them
    rank_program.py  what every rank runs around its own work: it joins, reports its error and ends
    ranks.py         one rank among the others: its share of the work, and sums over all
    rank_errors.py   passes errors from the ranks to the process that started them
    gpus.py          the GPUs that may be used

`sr.training` uses this package and names the module that its ranks run; nothing here imports it.
Importing this package loads none of its modules.
"""
