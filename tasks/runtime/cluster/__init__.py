"""Run one command on any number of hosts, with a luigid between them, until its result is there.

`factory` gives Luigi a worker and a client of the scheduler. `worker` stays until the root is complete and comes back
after it was away; `scheduler_client` waits in words while luigid can't be reached; `task_ids` keeps tasks of other
settings, code and stores apart; `admission` refuses a host that differs from the others; `parts` knows the shards of a
dataset; `host_progress` shows what all hosts have done. Nothing here knows a stage.
"""
