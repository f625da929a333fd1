"""The section [store] of luigi.cfg: where results are stored, and where downloads are looked for."""

from pathlib import Path

import luigi

from tasks.runtime.list_parameters import PathListParameter
from tasks.runtime.parameters import IntParameter, PathParameter


class store(luigi.Config):
    """Where everything that a run makes is stored, and where its inputs are found."""

    root: str = PathParameter(default="work", description="directory of the store; made if it is missing")
    catalog: str = PathParameter(
        default="",
        description="folder with your own catalog files, see docs/how-to/add-a-dataset.md; empty: none",
    )
    archives: tuple[Path, ...] = PathListParameter(
        default=(), description="folders with archives that are already on disk, separated by commas"
    )
    connections: int = IntParameter(
        default=4, at_least=1, description="simultaneous connections to one server while downloading"
    )
    list_connections: int = IntParameter(
        default=16, at_least=1, description="simultaneous requests to all hosts of a list of URLs together"
    )
    host_connections: int = IntParameter(
        default=2, at_least=1, description="simultaneous requests to one host of a list of URLs"
    )
