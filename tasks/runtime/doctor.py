"""The command `sr-factory doctor`: try whether a directory can be the store of several processes and hosts.

sr-factory doctor                                    the store of luigi.cfg, between two processes of this host
sr-factory doctor --store /shared/work --hosts b,c   between this host and others, which ssh reaches
"""

import argparse
import sys
from pathlib import Path

from data.errors import UserError
from data.store_check.doctor import EXIT_CODES, examine, render
from data.user_paths import expand_home
from tasks.runtime.store import store

_WAIT_S = 70.0


def main(argv: list[str]) -> int:
    """Try a directory and print what was found; return 0, 3 if the store works there with limits, or 1."""
    parser = argparse.ArgumentParser(
        prog="sr-factory doctor",
        description="Try whether a directory can be the store of several processes and hosts. Exit code: 0 it can, "
        "3 it can with the limits that are named, 1 it can't.",
    )
    parser.add_argument("--store", metavar="DIR", help="the directory; without it, [store] root")
    parser.add_argument(
        "--hosts",
        default="",
        metavar="HOST[:DIR],…",
        help="other hosts, with the directory there if it differs",
    )
    parser.add_argument(
        "--also", metavar="DIR", help="another path of the same directory here, e.g. a second mount"
    )
    parser.add_argument(
        "--wait-s",
        type=float,
        default=_WAIT_S,
        metavar="N",
        help="how long to wait for what is not seen at once (70)",
    )
    options = parser.parse_args(argv)
    try:
        folder = Path(expand_home(options.store or store().root))
        hosts = [host.strip() for host in options.hosts.split(",") if host.strip()]
        also = expand_home(options.also) if options.also else None
        report = examine(folder, hosts, also, options.wait_s)
    except UserError as error:
        print(f"sr-factory doctor: {error}", file=sys.stderr)
        return 1
    print("\n".join(render(report, folder)))
    return EXIT_CODES[report.state]
