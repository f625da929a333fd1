"""Errors that end a host's part in a run of several hosts, each with the exit code of the command."""

from typing import ClassVar

from data.errors import UserError


class ClusterError(UserError):
    """This host cannot take part."""

    exit_code: ClassVar[int]


class RefusedHost(ClusterError):
    """This host differs from the others."""

    exit_code = 2


class Unplannable(ClusterError):
    """What is to be done cannot be found out, as where a source does not exist on this host."""

    exit_code = 35


class SchedulerLost(ClusterError):
    """There is no luigid, or none that answers."""

    exit_code = 35
