"""Extend Luigi with parameters that check themselves, tasks named by their content, progress bars and readable errors.

`store_task` is the base class of every task. `parameters` and `arguments` turn a wrong value into one line. `hooks`
takes part in Luigi's run and prints its result. `progress` and `progress_board` draw the bars of all processes.
`streams` makes the standard streams lenient. `processes` ties the lifetime of a task's process to Luigi's. `status`
prints the DAG. Nothing here knows a stage.
"""
