"""Luigi's settings that this project relies on, so that every command works from any directory.

Luigi reads them from the luigi.cfg of the working directory. Elsewhere its own defaults ask for a scheduler daemon
and exit with 0 after a failure. What luigi.cfg or LUIGI_CONFIG_PATH sets stays as it is.
"""

import luigi.configuration

SETTINGS = {
    "core": {
        # One machine needs no scheduler daemon; a cluster sets this to false and names its luigid.
        "local_scheduler": "true",
        # Two runs side by side are harmless (results appear whole, by rename), so a second one is not refused.
        "no_lock": "true",
        # Failures and progress are shown by tasks.runtime. --log-level INFO shows Luigi's own log.
        "log_level": "CRITICAL",
        # Luigi's own range tasks would only lengthen --help.
        "autoload_range": "false",
    },
    "worker": {
        # A task that ran and left no record has failed.
        "check_complete_on_run": "true",
        # Task processes die with the main process, however it dies.
        "task_process_context": "tasks.runtime.processes.DiesWithParent",
        # Among several hosts, an idle one asks for work after 1 to 2 s; Luigi's 1 to 6 s would lengthen every pause.
        "wait_jitter": "1",
    },
    # Otherwise a failed task is tried again after a quarter of an hour if others still run.
    "scheduler": {"retry_count": "1"},
    # Without these Luigi exits with 0 after a failure.
    "retcode": {
        "already_running": "10",
        "missing_data": "20",
        "not_run": "25",
        "task_failed": "30",
        "scheduling_error": "35",
        "unhandled_exception": "40",
    },
}


SCHEDULER_NAMES = ("scheduler_host", "default-scheduler-host", "scheduler_url", "default-scheduler-url")


def apply_defaults() -> None:
    """Set each option of `SETTINGS` that no configuration file sets; a scheduler that a file names is used."""
    config = luigi.configuration.get_config()
    is_named = any(config.has_option("core", name) for name in SCHEDULER_NAMES)
    if is_named and not config.has_option("core", "local_scheduler"):
        config.set("core", "local_scheduler", "false")
    for section, options in SETTINGS.items():
        for option, value in options.items():
            if not config.has_option(section, option):
                config.set(section, option, value)
