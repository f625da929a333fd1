"""The command `sr-factory`: every task of the DAG, what is done, and a quick way to upscale an image.

sr-factory                             list the tasks
sr-factory MakeCrops --dataset DIV2K   the same as luigi --module tasks MakeCrops --dataset DIV2K
sr-factory status FullPipeline         show what is done, what is not, and where
sr-factory doctor --store /shared/work  try a directory as the store of several hosts
sr-factory shards DIV2K                list the shards of a dataset for a batch system
sr-factory upscale in.png out.png --model net.xml
"""

import sys

from tasks.runtime.streams import prepare_streams

USAGE = """usage: sr-factory TASK [options]              run a task and all that it needs
       sr-factory TASK --help                list its options (--help-all: every configuration key, too)
       sr-factory status TASK [options]      show what is done, what is not, and where results are
       sr-factory shards DATASET [--json]    plan a dataset, and list its shards for batch systems
       sr-factory doctor [--store DIR]       try whether a directory can be the store of several hosts
       sr-factory upscale IN OUT [options]   upscale an image or a folder of images
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code.

    A task's exit codes are Luigi's: 0 done, 2 a mistake on the command line, 30 a task failed (docs, "Command line").
    """
    prepare_streams()
    arguments = sys.argv[1:] if argv is None else argv
    command = arguments[0] if arguments else ""
    if command in ("", "-h", "--help", "help"):
        print(USAGE + "\n" + "\n".join(task_list()))
        return 0
    if command == "--version":
        from data.version import VERSION

        print(VERSION)
        return 0
    if command == "status":
        from tasks.runtime import status

        return status.main(arguments[1:])
    if command == "doctor":
        from tasks.runtime import doctor

        return doctor.main(arguments[1:])
    if command == "shards":
        from tasks import list_shards

        return list_shards.main(arguments[1:], _run_task)
    if command == "upscale":
        from sr.upscale.__main__ import main as upscale

        return upscale(arguments[1:])
    return _run_task(arguments)


def task_list() -> list[str]:
    """Return a line for each task: its name and the first line of its docstring."""
    import tasks

    width = max(map(len, tasks.__all__))
    summaries = {name: (getattr(tasks, name).__doc__ or "").partition("\n")[0] for name in tasks.__all__}
    return [f"  {name:{width}}  {summary}" for name, summary in summaries.items()]


def _run_task(arguments: list[str]) -> int:
    from luigi.cmdline import luigi_run

    from tasks.runtime import hooks

    hooks.install()  # `tasks` was imported before Luigi's program, so its own call did nothing
    try:
        luigi_run(["--module", "tasks", *arguments])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else _print_error(end.code)
    return 0


def _print_error(text: object) -> int:
    """Do as Python does with a text that a program ends with."""
    if text is None:
        return 0
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
